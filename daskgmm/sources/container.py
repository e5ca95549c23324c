"""A source out of a container of named arrays, whatever its format: rows, weights and mask by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DataError
from .base import Coordinate, Source
from .composite import FeaturesLast, NonZero, Stacked, move_last
from .readable import Readable

if TYPE_CHECKING:
    from .options import DataOptions

MAX_COORDINATE = 2**20  # values; longer ones number rows rather than place them


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

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the options that name its rows where that is clear, looking past some names."""

    def member(self, name: str) -> Member | None:
        """Return the array of that name, None where there is none."""

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        """Return the values along the axis `name` of the array `beside`, None where none of up to 2**20 are stored."""


def source_in(container: Container, options: DataOptions, weighted: bool) -> Source:
    """Return the source that `arrays` or else `array` names, its mask, and weights and labels if wanted."""
    weights, labels, mask = options.weights, options.labels, options.mask_name
    if options.array is None and options.arrays is None:
        options = replace(options, **container.default({weights, labels, mask}, options.feature_axis))
    names, axis = options.arrays, options.feature_axis
    source = _single(container, options.array, axis) if names is None else _stack(container, names)
    if weighted and weights is not None:
        source = replace(source, weights=_beside(source, container, weights, "weights"))
    if weighted and labels is not None:
        source = replace(source, labels=_beside(source, container, labels, "labels"))
    if mask is not None:
        valid = NonZero.of(mask, _beside(source, container, mask, "mask"), options.mask_is_inverted)
        source = replace(source, valid=valid)
    return source


def _beside(source: Source, container: Container, name: str, key: str) -> Readable:
    """Return weights, labels or mask of a source; raise DataError where their axes are not those of its rows."""
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


def _single(container: Container, name: str | None, feature_axis: int | str | None) -> Source:
    member, beside = member_of(container, name), str(name)
    return source_of(member, f"{container.path}/{name}", feature_axis, lambda dim: container.coordinate(dim, beside))


def source_of(
    member: Member,
    description: str,
    feature_axis: int | str | None = None,
    coordinate: Callable[[str], Coordinate | None] = lambda _: None,
) -> Source:
    """Return an array as a source: its features are along the last axis, or the one that is named.

    `coordinate` gives the values along the axis of a name. Raise DataError if there is no such axis.
    """
    member = features_last(member, feature_axis, description)
    shape = tuple(member.array.shape)
    n_axes = max(len(shape) - 1, 1)  # of the grid
    dims = member.dims and member.dims[:n_axes]
    features = coordinate(member.dims[-1]) if member.dims and member.dims[n_axes:] else None
    return Source(
        member.array,
        description,
        member.stored_chunks and member.stored_chunks[:n_axes],
        feature_names=_labels(features, shape[-1]) if len(shape) > 1 else None,
        dims=dims,
        coordinates=_coordinates(coordinate, dims, shape),
        notices=member.notices,
    )


def source_of_numbers(member: Member, feature: str, description: str) -> Source:
    """Return an array as a source in which each value is a row of one feature."""
    array = Stacked.of({feature: member.array})
    return Source(
        array, description, member.stored_chunks, feature_names=(feature,), dims=member.dims, notices=member.notices
    )


def features_last(member: Member, axis: int | str | None, name: str) -> Member:
    """Return the array with the axis of its features at the end; None: it is there."""
    if axis is None:
        return member
    ndim = member.array.ndim
    if ndim < 2:
        raise DataError(f"{name} has {ndim} axis, whose values are rows of one feature: leave data.feature_axis out")
    at = _axis_number(axis, ndim, member.dims, name)
    stored, dims = member.stored_chunks, member.dims
    return replace(
        member,
        array=member.array if at == ndim - 1 else FeaturesLast(member.array, at),
        stored_chunks=stored and move_last(stored, at),
        dims=dims and move_last(dims, at),
    )


def _axis_number(axis: int | str, ndim: int, dims: tuple[str, ...] | None, name: str) -> int:
    if isinstance(axis, int):
        if not -ndim <= axis < ndim:
            raise DataError(f"data.feature_axis {axis}: {name} has {ndim} axes: give {-ndim} to {ndim - 1}")
        return axis % ndim
    if dims is None:
        raise DataError(f"data.feature_axis {axis!r}: the axes of {name} have no names: give a number")
    if dims.count(axis) != 1:
        raise DataError(f"data.feature_axis {axis!r}: {name} has the axes {', '.join(dims)}: name one of them")
    return dims.index(axis)


def _stack(container: Container, names: tuple[str, ...]) -> Source:
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
        coordinates=_coordinates(lambda dim: container.coordinate(dim, names[0]), dims, array.shape),
        notices=tuple(notice for member in members.values() for notice in member.notices),
    )


def _common_dims(dims: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = {name: one for name, one in dims.items() if one is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} {one}" for name, one in known.items())
        raise DataError(f"data.arrays must have the same axes to be stacked, but they have: {listed}")
    return next(iter(known.values()), None)


def _coordinates(
    coordinate: Callable[[str], Coordinate | None], dims: tuple[str, ...] | None, shape: tuple[int, ...]
) -> dict[str, Coordinate]:
    """Return the coordinates along the axes, where what is called so is as long as the axis."""
    sizes = dict(zip(dims or (), shape, strict=False))
    found = {dim: coordinate(dim) for dim in sizes}
    return {dim: one for dim, one in found.items() if one is not None and len(one.values) == sizes[dim]}


def _labels(coordinate: Coordinate | None, n_features: int) -> tuple[str, ...] | None:
    """Return the names that the features have as a coordinate of strings, one for each."""
    if coordinate is None or coordinate.values.dtype.kind not in "UTO" or len(coordinate.values) != n_features:
        return None
    return tuple(str(value) for value in coordinate.values)
