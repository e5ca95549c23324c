"""A source out of a container of named arrays, whatever its format: rows, weights and mask by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

from ..errors import DataError
from .base import Coordinate, DataOptions, Source
from .composite import NonZero, Stacked
from .readable import Readable

LARGEST_COORDINATE = 2**20  # values; longer ones number rows rather than place them


@dataclass(frozen=True, eq=False)
class Member:
    """An array of a container, and how it lies there."""

    array: Readable
    stored_chunks: tuple[int, ...] | None = None  # of all its axes
    dims: tuple[str, ...] | None = None  # names of all its axes
    notices: tuple[str, ...] = ()  # what a person should know of how it is read


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
    if weighted and weights is not None:
        source = replace(source, weights=_beside(source, container, weights, "weights"))
    if mask is not None:
        valid = NonZero.of(mask, _beside(source, container, mask, "mask"), options.mask_is_inverted)
        source = replace(source, valid=valid)
    return source


def _beside(source: Source, container: Container, name: str, key: str) -> Readable:
    """Return the weights or the mask of a source; raise DataError where their axes are not those of its rows."""
    member = member_of(container, name)
    if source.dims and member.dims and len(member.dims) == len(source.dims) and member.dims != source.dims:
        raise DataError(
            f"data.{key}: {name} has the axes {', '.join(member.dims)}, but the rows of {source.description} have "
            f"{', '.join(source.dims)}: store it in that order"
        )
    return member.array


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
    shape = member.array.shape
    n_axes = max(len(shape) - 1, 1)  # of the grid
    dims = member.dims and member.dims[:n_axes]
    stored = member.stored_chunks and member.stored_chunks[:n_axes]
    features = container.coordinate(member.dims[-1], str(name)) if member.dims and member.dims[n_axes:] else None
    return Source(
        member.array,
        f"{container.path}/{name}",
        stored,
        feature_names=_labels(features, shape[-1]) if len(shape) > 1 else None,
        dims=dims,
        coordinates=_coordinates(container, dims, str(name), shape),
        notices=member.notices,
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
        coordinates=_coordinates(container, dims, names[0], array.shape),
        notices=tuple(notice for member in members.values() for notice in member.notices),
    )


def _common_dims(dims: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = {name: one for name, one in dims.items() if one is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} {one}" for name, one in known.items())
        raise DataError(f"data.arrays must have the same axes to be stacked, but they have: {listed}")
    return next(iter(known.values()), None)


def _coordinates(
    container: Container, dims: tuple[str, ...] | None, beside: str, shape: tuple[int, ...]
) -> dict[str, Coordinate]:
    """Return the coordinates along the axes, where what is called so is as long as the axis."""
    sizes = dict(zip(dims or (), shape, strict=False))
    found = {dim: container.coordinate(dim, beside) for dim in sizes}
    return {dim: one for dim, one in found.items() if one is not None and len(one.values) == sizes[dim]}


def _labels(coordinate: Coordinate | None, n_features: int) -> tuple[str, ...] | None:
    """Return the names that the features have as a coordinate of strings, one for each."""
    if coordinate is None or coordinate.values.dtype.kind not in "UTO" or len(coordinate.values) != n_features:
        return None
    return tuple(str(value) for value in coordinate.values)
