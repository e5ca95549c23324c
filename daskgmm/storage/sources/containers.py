"""A source out of a container of named arrays, whatever its format: rows, weights and mask by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

from ...errors import DataError
from .composed import NonZero, Stacked
from .data import Coordinate, DataOptions, Source
from .readers import Readable

LARGEST_COORDINATE = 2**20  # values; longer ones number rows rather than place them


@dataclass(frozen=True, eq=False)
class Member:
    """An array of a container, and how it lies there."""

    array: Readable
    stored_chunks: tuple[int, ...] | None = None  # of all its axes
    dims: tuple[str, ...] | None = None  # names of all its axes


class Container(Protocol):
    """A group or file that holds arrays by name."""

    @property
    def path(self) -> str: ...

    @property
    def nouns(self) -> tuple[str, str]:
        """What a message calls one of its arrays, and the container itself."""

    def names(self) -> list[str]:
        """Return the names of its arrays, for a message."""

    def default(self, besides: set[str | None]) -> dict[str, Any]:
        """Return the option that names its rows where that is clear (`array` or `arrays`), looking past some names."""

    def member(self, name: str) -> Member | None:
        """Return the array of that name, None where there is none."""

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        """Return the values along the axis `name` of the array `beside`, None where none of up to 2**20 are stored."""


def source_in(container: Container, options: DataOptions, weighted: bool) -> Source:
    """Return the source that `arrays` or else `array` names, with its mask, and its weights where they are wanted."""
    weights, mask = options.weights, options.mask_name
    if options.array is None and options.arrays is None:
        options = replace(options, **container.default({weights, mask}))
    names = options.arrays
    source = _single(container, options.array) if names is None else _stacked(container, names)
    return replace(
        source,
        weights=member_of(container, weights).array if weighted and weights is not None else None,
        valid=None if mask is None else NonZero.of(mask, member_of(container, mask).array, options.mask_is_inverted),
    )


def member_of(container: Container, name: str | None) -> Member:
    """Return the array of that name; raise DataError that lists those there are."""
    found = None if name is None else container.member(name)
    if found is None:
        noun, place = container.nouns
        asked = "data.array is not set" if name is None else f"there is no {noun} {name!r}"
        raise DataError(f"{container.path}: {asked}; the {place} holds {', '.join(container.names()) or f'no {noun}s'}")
    return found


def _single(container: Container, name: str | None) -> Source:
    member = member_of(container, name)
    n_axes = max(len(member.array.shape) - 1, 1)  # of the grid
    dims = member.dims and member.dims[:n_axes]
    stored = member.stored_chunks and member.stored_chunks[:n_axes]
    features = container.coordinate(member.dims[-1], str(name)) if member.dims and member.dims[n_axes:] else None
    return Source(
        member.array,
        f"{container.path}/{name}",
        stored,
        feature_names=_labels(features),
        dims=dims,
        coordinates=_coordinates(container, dims, str(name)),
    )


def _stacked(container: Container, names: tuple[str, ...]) -> Source:
    members = {name: member_of(container, name) for name in names}
    array = Stacked.of({name: member.array for name, member in members.items()})
    layouts = [member.stored_chunks for member in members.values() if member.stored_chunks is not None]
    dims = _common_dims({name: member.dims for name, member in members.items()})
    return Source(
        array,
        f"{container.path}: {', '.join(names)}",
        max(layouts, key=prod, default=None),
        feature_names=names,
        dims=dims,
        coordinates=_coordinates(container, dims, names[0]),
    )


def _common_dims(dims: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = {name: one for name, one in dims.items() if one is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} {one}" for name, one in known.items())
        raise DataError(f"data.arrays must have the same axes to be stacked, but they have: {listed}")
    return next(iter(known.values()), None)


def _coordinates(container: Container, dims: tuple[str, ...] | None, beside: str) -> dict[str, Coordinate]:
    found = {dim: container.coordinate(dim, beside) for dim in dims or ()}
    return {dim: one for dim, one in found.items() if one is not None}


def _labels(coordinate: Coordinate | None) -> tuple[str, ...] | None:
    """Return the names that the features have as a coordinate of strings."""
    if coordinate is None or coordinate.values.dtype.kind not in "UTO":
        return None
    return tuple(str(value) for value in coordinate.values)
