"""What a source format is: its names, what it takes, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Source
from .guarded import Guard

if TYPE_CHECKING:
    from .options import DataOptions

Opener = Callable[["DataOptions", Guard, bool], Source]  # of the options; with the row weights if the last is true

OF_CONTAINERS = frozenset({"array", "arrays", "feature_axis"})
OF_TABLES = frozenset({"columns", "keep"})
OF_CSV = frozenset({"header", "delimiter", "decimal", "na_values", "encoding"})


@dataclass(frozen=True)
class SourceFormat:
    """A kind of file or store that rows come from."""

    name: str  # what data.format calls it
    open: Opener
    suffixes: tuple[str, ...] = ()  # that names of its files end in, in small letters
    signatures: tuple[bytes, ...] = ()  # that its files begin with; none where opening a file tells
    takes: frozenset[str] = frozenset()  # options of data that not every format has a use for
    from_url: bool = False
    from_many: bool = False  # files below a folder, or those that match a pattern
    names_inside: bool = False  # path::name is an array of the file
