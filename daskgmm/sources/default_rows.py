"""Which arrays of a container are the rows where no option names them: one rule for netCDF, zarr and xarray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError

_FEATURE_AXES = {  # names of axes, in small letters, that features lie along
    *("feature", "features", "n_features", "band", "bands", "channel", "channels", "c", "variable", "variables", "var"),
    *("component", "components", "gene", "genes", "marker", "markers", "wavelength", "wavelengths", "d", "dim", "dims"),
    *("attribute", "attributes", "parameter", "parameters", "embedding", "latent"),
}
_ROW_AXES = {  # and those that rows lie along, though they may have no coordinate
    *("time", "t", "lat", "latitude", "lon", "longitude", "x", "y", "z", "level", "lev", "depth", "height", "altitude")
}


@dataclass(frozen=True)
class Variable:
    """An array of numbers that may be the rows."""

    shape: tuple[int, ...]
    dims: tuple[str, ...] | None  # names of its axes


def default_rows(
    variables: Mapping[str, Variable],
    kind_of_coordinate: Callable[[str], str | None],
    place: str,
    feature_axis: int | str | None = None,
) -> dict[str, Any]:
    """Return the options that name the rows, as the axes of the variables say; none where there is no clear one.

    Variables of the same named axes, which lie in space or time, are each a feature. One variable that has an axis of
    features, by its name or by `feature_axis`, is all of them; so is an array whose axes have no names, its features
    along the last. `kind_of_coordinate` gives the kind, as of a dtype, of the coordinate of an axis. Raise DataError if
    one variable has a last axis that may be either.
    """
    if len({(one.dims, one.shape) for one in variables.values()}) != 1:
        return {}
    names = tuple(sorted(variables))  # a store need not list them in one order
    dims = variables[names[0]].dims
    if dims is None or feature_axis is not None:
        return {"array": names[0]} if len(names) == 1 else {}
    of_features = [axis for axis in dims if axis.lower() in _FEATURE_AXES]
    if of_features and len(dims) > 1:
        is_clear = len(names) == 1 and len(of_features) == 1
        return {"array": names[0], "feature_axis": of_features[0]} if is_clear else {}
    last = dims[-1]
    if len(dims) == 1 or last.lower() in _ROW_AXES or kind_of_coordinate(last) in _NUMBERS:
        return {"arrays": names}
    if len(names) > 1:
        return {}
    raise DataError(
        f"{place}: {names[0]} has the axes {', '.join(dims)}: set data.array: {names[0]} if the values along {last} "
        f"are the features of a row, or data.arrays: [{names[0]}] if each value is a row of one feature"
    )


_NUMBERS = set("iufmM")  # kinds of dtypes, times among them


def find_coordinate_names(attributes: Mapping[str, Any]) -> set[str]:
    """Return the names of the arrays that the attributes of a variable or group say are coordinates or their bounds."""
    values = (attributes.get(key) for key in ("coordinates", "bounds"))
    return {name for value in values if isinstance(value, str) for name in value.split()}
