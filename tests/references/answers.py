"""What is read of reference answers, and what a check finds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

SMALL = Path(__file__).parents[1] / "data" / "references"


@dataclass(frozen=True)
class Answer:
    """How far above a reference answer the package is: negative is below, in nats in total or as minus an error."""

    name: str
    gap: float
    tolerance: float
    note: str = ""

    @property
    def reached(self) -> bool:
        return bool(self.gap >= -self.tolerance)  # not so for NaN


@dataclass(frozen=True)
class Folder:
    """A folder of reference answers: a JSON file for each list, and the CSV files that it names."""

    path: Path = SMALL

    def fits(self, name: str, key: str = "fits") -> list[dict[str, Any]]:
        """Return the answers of a list."""
        answers: list[dict[str, Any]] = self.read(f"{name}.json")[key]
        return answers

    def read(self, name: str) -> dict[str, Any]:
        """Return what a JSON file holds."""
        values: dict[str, Any] = json.loads((self.path / name).read_text())
        return values

    def rows(self, name: str) -> np.ndarray:
        """Return the rows of a CSV file with a header, (n, d); NA and empty cells are NaN."""
        rows = np.genfromtxt(self.path / name, delimiter=",", skip_header=1, missing_values="NA")
        return rows[:, None] if rows.ndim == 1 else rows

    def texts(self, name: str) -> np.ndarray:
        """Return the only column of a CSV file, as texts (n,)."""
        return np.genfromtxt(self.path / name, delimiter=",", skip_header=1, dtype=str, converters={0: _unquote})

    def partition(self, name: str, column: str) -> np.ndarray:
        """Return a column of numbers from 1 of a CSV file as labels from 0, (n,); 0 becomes -1."""
        with (self.path / name).open() as file:
            columns = [one.strip('"') for one in file.readline().strip().split(",")]
        return np.loadtxt(self.path / name, delimiter=",", skiprows=1, usecols=columns.index(column), dtype=int) - 1

    @cached_property
    def names(self) -> list[str]:
        """The lists that the folder has."""
        return sorted(path.stem for path in self.path.glob("*.json"))


def _unquote(text: str | bytes) -> str:
    return (text.decode() if isinstance(text, bytes) else text).strip('"')
