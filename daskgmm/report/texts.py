"""Texts that come from data, paths and other programs, as a terminal may have them."""

from __future__ import annotations

from rich.markup import escape


def printable(text: str) -> str:
    """Return the text with each character that would act on a terminal as a question mark."""
    return "".join(one if one.isprintable() else "?" for one in text)


def shown(text: str) -> str:
    """Return a text that rich shows as it is, neither its markup nor a terminal's control characters acting."""
    return escape(printable(text))
