"""Sources of rows: each file format or store, opened as one value that reads what is sliced from it."""

from .base import Coordinate, Keys, Source
from .open import open_source
from .options import DataOptions, Format

__all__ = ["Coordinate", "DataOptions", "Format", "Keys", "Source", "open_source"]
