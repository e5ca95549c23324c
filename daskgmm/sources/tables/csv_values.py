"""Values of CSV that are not numbers: which is the first of a column, and what can be done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import DataError
from .csv_dialect import CsvOptions, quote

if TYPE_CHECKING:
    import pyarrow as pa

PROBLEM = b"problem"
"""Key of the metadata of a field: row and text of the value by which a column of numbers is none, with the remedy."""
EXAMPLE = b"example"
"""Key of the metadata of a field: row and text of the first value of a column of texts."""

_NUMBER = r"^\s*[+-]?(\d+[.]?\d*|[.]\d+)([eE][+-]?\d+)?\s*$"


def judge_field(name: str, values: pa.ChunkedArray, options: CsvOptions, file: str, is_alone: bool = False) -> pa.Field:
    """Return a column with the type that its first values show: int64, double, bool, null, or string.

    The metadata of a string column tell of a text in it, and of the delimiter where the column is alone. Raise
    DataError where a text is the name itself, or all are of its pattern, unless the options say what the header is.
    """
    import pyarrow as pa

    if values.type in {pa.int64(), pa.float64(), pa.bool_(), pa.null()}:
        return pa.field(name, values.type)
    texts = values.cast(pa.string())
    if options.header is None:
        _check_name(file, name, texts)
    return pa.field(name, pa.string(), metadata=_first_text(name, texts, options, is_alone))


def _first_text(name: str, texts: pa.ChunkedArray, options: CsvOptions, is_alone: bool) -> dict[bytes, bytes]:
    """Return the metadata's description of the first value that is not a number."""
    import pyarrow.compute as pc

    pattern = _NUMBER.replace("[.]", f"[{options.decimal}]")
    is_text = pc.invert(pc.fill_null(pc.match_substring_regex(texts, pattern), True))
    row = pc.index(is_text, True).as_py()
    if row < 0:
        return {}
    text = texts[row].as_py()
    where = f"row {row} holds {quote(text)}"
    is_rare = pc.sum(is_text).as_py() * 2 <= len(texts) - texts.null_count
    if is_rare or _hint(text):
        return {PROBLEM: f"{where}: {remedy_for(text, name)}".encode()}
    if is_alone:
        return {PROBLEM: f"{where}: set data.delimiter if another character separates the values".encode()}
    return {EXAMPLE: where.encode()}


def remedy_for(text: str, name: str) -> str:
    """Return the remedy for a text among numbers."""
    if text.strip().strip('"') == name:
        return "the header stands there again: remove that line"
    hint = _hint(text)
    return hint or f"correct it, add it to data.na_values if it means a missing value, or leave out the column {name!r}"


def _hint(text: str) -> str:
    return next((hint for pattern, hint in _HINTS if pattern.fullmatch(text.strip())), "")


_SIGN = r"[-+]?"
_HINTS = [
    (
        re.compile(rf"{_SIGN}\d{{1,3}}(,\d{{3}})+"),
        "set data.decimal if the comma is the decimal point, write numbers without it if it is a thousands separator",
    ),
    (
        re.compile(rf"{_SIGN}\d{{1,3}}((,\d{{3}})+\.\d*|(\.\d{{3}})+,\d*|([ '_\u00a0\u202f]\d{{3}})+([.,]\d+)?)"),
        "it has a thousands separator: write numbers without it",
    ),
    (re.compile(rf"{_SIGN}\d*,\d+([eE][-+]?\d+)?"), 'set data.decimal: "," where the comma is the decimal point'),
    (re.compile(rf"{_SIGN}\d*\.\d+([eE][-+]?\d+)?"), 'set data.decimal: "." where the point is the decimal point'),
]


def _check_name(file: str, name: str, texts: pa.ChunkedArray) -> None:
    """Raise DataError where the name of a column of texts may be one: it is among them, or like them (id0, id1)."""
    import pyarrow.compute as pc

    row = pc.index(texts, name).as_py()
    if row >= 0:
        raise DataError(
            f"{file}: row {row} holds {quote(name)}, which is the name of its column: remove that line if the header "
            "stands there again; else set data.header: true if the first line holds names, false if it is a row"
        )
    first = [text for text in texts.slice(0, _N_COMPARED).to_pylist() if text]
    if any(map(str.isdigit, name)) and first and {_outline(text) for text in first} == {_outline(name)}:
        raise DataError(
            f"{file} has no header that is sure: {quote(name)} in its first line is like the values below, such as "
            f"{quote(first[0])}; set data.header: true if the first line holds names, false if it is a row"
        )


_N_COMPARED = 100  # values of a column


def _outline(text: str) -> str:
    """Return a text with each run of digits as 9 and each of letters as a."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


_ROW = re.compile(r"Row #(\d+)")
_BAD_VALUE = re.compile(r"In CSV column #(\d+): (.*?): CSV conversion error to (\w+): invalid value '(.*)'", re.DOTALL)
_N_COLUMNS = re.compile(r"Expected (\d+) columns, got (\d+)")


def explain(message: str, names: Sequence[str], row: int) -> str:
    """Return pyarrow's message with the row's number in the file (rows from 0, without the header) and column names."""
    message = _ROW.sub(lambda found: f"row {row + int(found[1]) - 1}", message)
    found = _BAD_VALUE.search(message)
    if found is not None:
        column, where, kind, text = found.groups()
        name = names[int(column)]
        where = where.removeprefix("CSV conversion error")
        return f"{where} holds {quote(text)} in the column {name!r}, which is no {kind}: {remedy_for(text, name)}"
    line = " ".join(message.split())
    return f"{line}; data.delimiter and data.decimal tell how it is written" if _N_COLUMNS.search(line) else line
