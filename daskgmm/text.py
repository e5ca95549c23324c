"""Words that all parts of the package write the same way, and texts of others as a terminal or a page may have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import floor, isfinite, log10

from rich.markup import escape


def pluralize(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural where it is not one: 1 chunk, 2,048 chunks, 0 passes."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def describe_workers(number: int, noun: str, threads: int) -> str:
    """Return workers with their threads: 1 local worker with 2 threads; 4 workers with 1 thread each."""
    return f"{pluralize(number, noun)} with {pluralize(threads, 'thread')}{' each' if number != 1 else ''}"


def with_precision(value: float, deviation: float) -> str:
    """Return a number down to the second digit of its standard deviation: 1,700,000,012.3 of a deviation of 2.5.

    So values that lie some deviations apart never read the same, however far from 0 they are.
    """
    if not (isfinite(value) and isfinite(deviation)):
        return f"{value:g}"
    if deviation <= 0:
        return f"{value:.12g}"
    decimals = 1 - floor(log10(deviation))
    largest = max(abs(value), deviation)
    if not 1e-4 <= largest < 1e15:
        digits = floor(log10(largest)) + decimals + 1
        return f"{value:.{min(max(digits, 1), 17) - 1}e}"
    shown_decimals = min(max(decimals, 0), max(16 - floor(log10(largest)), 0))
    return f"{round(value, shown_decimals) + 0.0:,.{shown_decimals}f}"  # + 0.0: no negative zero


def two_digits(deviation: float) -> str:
    """Return a standard deviation with its first two digits, as `with_precision` shows the mean beside it."""
    return with_precision(deviation, deviation)


def format_signed(number: str) -> str:
    """Return the number with a minus that is as wide as a digit."""
    return number.replace("-", "\N{MINUS SIGN}")


def printable(text: str) -> str:
    """Return the text with each character that would act on a terminal as a question mark."""
    return "".join(one if one.isprintable() else "?" for one in text)


_ACTING_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tabs and ends of lines
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # what turns the direction of a text, or ends a line
    "\ud800-\udfff]"  # halves of characters, as in names of files that are not UTF-8
)


def is_text(name: str) -> bool:
    """Return whether a name from the system is text throughout: Python hands on bytes of no text as half characters."""
    return not any("\ud800" <= one <= "\udfff" for one in name)


def harmless(text: str) -> str:
    """Return the text of a page with each character that would act, rather than be seen, as a replacement character."""
    return _ACTING_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def shorten(text: str, longest: int) -> str:
    """Return a long text without its middle: names of columns often differ at their ends."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def shorten_apart(names: Sequence[str], longest: int) -> tuple[str, ...]:
    """Return long names without their middles; if several then read the same, with the part in which they differ."""
    short = [shorten(name, longest) for name in names]
    groups: dict[str, list[str]] = {}
    for one, name in zip(short, names, strict=True):
        groups.setdefault(one, []).append(name)
    return tuple(
        one if len(set(groups[one])) == 1 else _around_difference(name, groups[one], longest)
        for one, name in zip(short, names, strict=True)
    )


def _around_difference(name: str, alike: Sequence[str], longest: int) -> str:
    """Return the part of a name around what tells it from those that begin and end alike; all of it if that is long."""
    begin = _n_common(alike)
    end = _n_common([one[begin:][::-1] for one in alike])
    spare = longest - 2 - (len(name) - begin - end)
    if spare < 0:
        return name
    before = min(begin, spare * 2 // 3)
    after = min(end, spare - before)
    before = min(begin, spare - after)
    return f"{'…' * (before < begin)}{name[begin - before : len(name) - end + after]}{'…' * (after < end)}"


def _n_common(texts: Sequence[str]) -> int:
    """Return the length of the prefix that all texts have in common."""
    least, greatest = min(texts), max(texts)
    ends = (at for at, (one, other) in enumerate(zip(least, greatest, strict=False)) if one != other)
    return next(ends, min(len(least), len(greatest)))


def escape_text(text: str) -> str:
    """Return a text that rich shows as it is, neither its markup nor a terminal's control characters acting."""
    return escape(printable(text))
