"""How a CSV file is written: its delimiter and column names, found in the first lines or given by options."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ConfigurationError, DataError

MISSING = (  # what pyarrow takes for a missing value
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)

UNNAMED = "Unnamed: "
"""What a column without a name is called, with its number behind: pandas calls it so too."""


@dataclass(frozen=True)
class CsvOptions:
    """What is known of CSV files beforehand; None: found in the first lines."""

    header: bool | tuple[str, ...] | None = (
        None  # whether the first line holds the names; or the names, where no line does
    )
    delimiter: str | None = None
    decimal: str = "."
    na_values: tuple[str, ...] = ()  # texts that mean a missing value, besides MISSING
    encoding: str = "utf-8"

    @property
    def missing(self) -> list[str]:
        """Every text that means a missing value, also after the space that may follow a delimiter."""
        return [f"{space}{text}" for text in (*MISSING, *self.na_values) for space in ("", " ")]

    @property
    def missing_numbers(self) -> list[float]:
        """Those of `na_values` that are numbers: they mean a missing value however they are written."""
        numbers = (_as_number(text.replace(self.decimal, ".")) for text in self.na_values)
        return [number for number in numbers if number is not None]

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name in {"utf-8", "utf-8-sig"}


@dataclass(frozen=True)
class Dialect:
    """The names of the columns, the delimiter, and the byte at which the rows begin."""

    names: tuple[str, ...]
    delimiter: str
    first_row: int


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check_csv_options(options: CsvOptions) -> None:
    """Raise ConfigurationError for an encoding whose lines cannot be told by bytes, and for options that clash."""
    try:
        decoded = b"\n,".decode(options.encoding, "replace")
    except LookupError:
        raise ConfigurationError(
            f"data.encoding: no encoding is called {options.encoding!r}; known are utf-8, latin-1, cp1252 and the like"
        ) from None
    if decoded != "\n,":
        raise ConfigurationError(
            f"data.encoding: CSV in {options.encoding} cannot be read in pieces: convert it to UTF-8 (iconv -t utf-8)"
        )
    if options.delimiter is not None and (not options.delimiter.isascii() or options.delimiter in '"\r\n'):
        raise ConfigurationError(
            f"data.delimiter is {options.delimiter!r}: give one character of ASCII, and no quote or line end"
        )
    if options.delimiter == options.decimal:
        raise ConfigurationError(
            f"data.delimiter and data.decimal are both {options.decimal!r}: give another delimiter"
        )


def find_dialect(file: str, start: bytes, options: CsvOptions) -> Dialect:
    """Return the dialect of a file, from its first bytes (whole lines, or all).

    Raise DataError where the first line is not surely the names of the columns, or the delimiter is not sure.
    """
    mark = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) and options.is_utf8 else 0
    _check_encoding(file, start)
    if b"\r" in start and b"\n" not in start and start.strip(b"\r").count(b"\r"):
        raise DataError(f"{file} ends its lines with CR only: write LF (tr '\\r' '\\n')")
    raw = start[mark:].split(b"\n", _N_LINES)[:_N_LINES]
    lines = [
        line.decode(options.encoding, "strict" if i == 0 else "replace").rstrip("\r") for i, line in enumerate(raw)
    ]
    delimiter = options.delimiter or _find_delimiter(file, [line for line in lines if line], options)
    first = _fields(file, next((line for line in lines if line), ""), delimiter)
    if isinstance(options.header, tuple):
        return Dialect(options.header, delimiter, mark)
    if options.header is False:
        return Dialect(tuple(f"column_{i}" for i in range(len(first))), delimiter, mark)
    names = _names(file, lines[0], delimiter, options)
    return Dialect(names, delimiter, start.find(b"\n") + 1 or len(start))


_N_LINES = 100  # lines by which the delimiter is found


def _check_encoding(file: str, start: bytes) -> None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start[:_MAX_TEXT_LENGTH]:
        raise DataError(f"{file} is UTF-16, or no text: convert it to UTF-8 (iconv -f utf-16 -t utf-8)")


def _names(file: str, line: str, delimiter: str, options: CsvOptions) -> tuple[str, ...]:
    """Return the names in the first line; unless an option says that they are names, they must look like names."""
    names = tuple(name.strip() for name in _fields(file, line, delimiter))
    if not any(names):
        raise DataError(f"{file} has no header: its first line is empty")
    if options.header is None:
        value = next((name for name in names if name and is_like_a_value(name, options)), None)
        if value is not None or _EXCEL.fullmatch(line):
            raise _no_header(file, line, f"{value!r} is like a value" if value else "it tells Excel the delimiter")
    return tuple(name or f"{UNNAMED}{i}" for i, name in enumerate(names))


def _no_header(file: str, line: str, reason: str) -> DataError:
    return DataError(
        f"{file} has no header that is sure: its first line is {quote(line)}, where {reason}; "
        "set data.header: true if it holds names, false if it is a row, or a list of names"
    )


def is_like_a_value(name: str, options: CsvOptions) -> bool:
    """Return whether a text in the first line may be a value: a number, date, truth value or missing value.

    >>> [is_like_a_value(name, CsvOptions()) for name in ("x1", "2m_temperature", "3", "1,5", "NA", "2020-01-01", "-")]
    [False, False, True, True, True, True, True]
    """
    is_missing = name in MISSING or name in options.na_values
    return is_missing or not any(map(str.isalpha, name)) or _VALUE.match(name) is not None


_EXCEL = re.compile(r"sep=.?", re.IGNORECASE)
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_VALUE = re.compile(
    r"[-+]?(inf(inity)?|nan)$|(true|false|none|missing)$|[-+]?0x[0-9a-f]+$"
    r"|[-+]?\d+([.,]\d+)?[ed][-+]?\d+$|[-+]?\d+[.,]\d+"  # numbers, also with a unit
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}T\d{4}|\d{1,2}:\d{2}"  # dates and times
    rf"|\d{{1,2}}[- /.]*{_MONTH}[- /.,]*\d{{2,4}}|{_MONTH}[- /.]\d{{1,2}}(,|[- /.])|\d{{4}}[- /.]{_MONTH}",
    re.IGNORECASE,
)


def _find_delimiter(file: str, lines: Sequence[str], options: CsvOptions) -> str:
    """Return the delimiter that cuts each of the first lines into as many fields; raise DataError where two do."""
    counts = {delimiter: [len(_fields(file, line, delimiter)) for line in lines] for delimiter in _DELIMITERS}
    counts.pop(options.decimal, None)
    fitting = [one for one, numbers in counts.items() if len(set(numbers)) == 1 and numbers[0] > 1]
    if file.lower().partition(".tsv")[1] and "\t" in fitting:
        return "\t"
    if len(fitting) > 1:
        listed = " and ".join(f"{one!r} ({counts[one][0]} columns)" for one in fitting)
        raise DataError(f"{file}: {listed} would all be delimiters: set data.delimiter")
    _check_spaces(file, lines, fitting)
    return fitting[0] if fitting else max(counts, key=lambda one: counts[one][:1])


_DELIMITERS = (",", ";", "\t", "|")


def _check_spaces(file: str, lines: Sequence[str], fitting: Sequence[str]) -> None:
    n_words = {len(line.split()) for line in lines}
    if not fitting and len(n_words) == 1 and n_words.pop() > 1:
        raise DataError(
            f"{file} has no delimiter that is sure: its first line is {quote(lines[0])}; set data.delimiter, "
            'such as " ", where each value is separated by one character'
        )


def _fields(file: str, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"{file}: the line {quote(line)} is no CSV: {error}") from None


_MAX_TEXT_LENGTH = 80  # characters of a text in a message


def quote(text: str) -> str:
    """Return a text as it stands in a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= _MAX_TEXT_LENGTH else f"{text[:_MAX_TEXT_LENGTH]}...")
