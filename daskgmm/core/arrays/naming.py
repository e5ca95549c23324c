"""What messages call rows and features, and what they advise where a value is not finite."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ...errors import DataError

Place = tuple[int, ...]  # index of a row in the grid


@dataclass(frozen=True)
class Naming:
    """The names of features and files, and the mask that is set."""

    features: tuple[str, ...] | None = None
    files: tuple[tuple[str, int], ...] = ()  # one after the other along the first axis, and the length of each
    fill_values: tuple[float, ...] | None = None  # that data.mask gives; None outside of a job
    has_mask: bool = False  # data.mask names an array or a column

    def row(self, place: Place) -> str:
        """Return the name of a row, with its number in its file and that file."""
        file, start = self._file(place[0])
        return name_row((place[0] - start, *place[1:])) + (f" of {file}" if file else "")

    def value(self, place: Place, column: int) -> str:
        """Return the name of a value: its row in its file, its column and that file."""
        file, start = self._file(place[0])
        row = name_row((place[0] - start, *place[1:]))
        return f"{row}, {name_column(self.features, column)}" + (f" of {file}" if file else "")

    def advice(self, kinds: Collection[str]) -> str:
        """Return the remedy for values of these kinds (nan, inf, -inf), leaving out options that are set already."""
        if self.fill_values is None:
            missing = "set missing='marginal' if NaN is a missing value, else " if "nan" in kinds else ""
            return (
                f"{missing}"
                "fill or drop NaN and inf; to leave the row out, set data.mask: nan (or inf) in a job, its features "
                "all to NaN in Python's predict, its sample_weight to 0 in fit and score"
            )
        missing = "set data.missing: marginal if NaN is a missing value, else " if "nan" in kinds else ""
        if self.has_mask:
            return f"{missing}fill them, or let the array that data.mask names leave those rows out"
        texts = [f"{value:g}" if value in _INFINITIES or value != value else str(value) for value in self.fill_values]
        texts += [kind for kind in KINDS if kind in kinds and kind not in texts]
        mask = texts[0] if len(texts) == 1 else _join_names(texts)
        return f"{missing}fill them, or leave those rows out: data.mask: {mask}"

    def _file(self, at: int) -> tuple[str | None, int]:
        """Return the file that holds a step of the first axis, and where that file begins."""
        start = 0
        for file, length in self.files:
            if at < start + length:
                return file, start
            start += length
        return None, 0


UNNAMED = Naming()
_INFINITIES = (float("inf"), float("-inf"))
KINDS = ("nan", "inf", "-inf")  # of values that are not finite


def name_row(place: Place) -> str:
    """Name the row at a grid index, for a message."""
    return f"row {place[0]}" if len(place) == 1 else f"row {place}"


def name_column(features: Collection[str] | None, column: int) -> str:
    """Name a feature for a message: its number, and its name if it has one."""
    return f"column {column}" + (f" ({tuple(features)[column]})" if features else "")


class NotFiniteError(DataError):
    """A row that is to be scored has a value that is NaN or infinite."""

    def __init__(self, place: Place, column: int, value: float, naming: Naming = UNNAMED) -> None:
        """Keep where the value is, so that who knows the names can give them."""
        where, advice = naming.value(place, column), naming.advice({f"{value:g}"})
        super().__init__(f"{where} is {value:g}: {advice}")
        self.place, self.column, self.value, self.naming = place, column, value, naming

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place, self.column, self.value, self.naming)

    def with_naming(self, naming: Naming) -> NotFiniteError:
        """Return the same error with these names."""
        return NotFiniteError(self.place, self.column, self.value, naming)


def _join_names(texts: Collection[str]) -> str:
    return f"[{', '.join(texts)}]"
