"""Stored values decoded as the CF conventions say: scaled, of the sign that is meant, NaN if they are missing."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .readable import Readable, Slices

_DECODED = ("scale_factor", "add_offset", "_FillValue", "missing_value", "valid_range", "valid_min", "valid_max")
_JSON_FLOATS = {"NaN", "Infinity", "-Infinity"}  # as zarr writes those that JSON has not
_DEFAULT_FILL = {  # netCDF's, for values never written; types of one byte have none, since each of their values is used
    "i2": -(2**15) + 1,
    "i4": -(2**31) + 1,
    "i8": -(2**63) + 2,
    "u2": 2**16 - 1,
    "u4": 2**32 - 1,
    "u8": 2**64 - 2,
    "f4": np.float32(9.969209968386869e36),
    "f8": 9.969209968386869e36,
}


def default_fill(dtype: np.dtype[Any]) -> Any:
    """Return the value that netCDF gives to what is never written; None if the type has none."""
    return _DEFAULT_FILL.get(dtype.str[1:])


def decode(array: Readable, attributes: Mapping[str, Any], name: str, fill: Any = None) -> Readable:
    """Return the array decoded as its attributes say, itself if they say nothing; raise DataError if they are unclear.

    `fill` is a missing value that the format holds beside the attributes.
    """
    stored = np.dtype(array.dtype)
    if stored.kind not in "iuf":
        return array
    meant = _with_sign(stored, attributes)
    numbers = {key: _numbers(attributes[key], key, name) for key in _DECODED if key in attributes}
    missing = [*numbers.get("_FillValue", []), *numbers.get("missing_value", [])]
    missing += [] if fill is None else [np.asarray(fill)[()]]
    bounds = _bounds(numbers, name)
    scale, offset = (_single(numbers, key, name) for key in ("scale_factor", "add_offset"))
    scaled = scale is not None or offset is not None
    if meant == stored and not scaled and not missing and bounds == (None, None):
        return array
    values = tuple(_of_type(value, stored, meant) for value in missing)
    is_wider = scaled and stored.kind in "iu" and any(np.asarray(bound).dtype.kind == "f" for bound in bounds)
    low, high = (
        bound if bound is None or is_wider else _of_type(bound, stored, meant) for bound in bounds
    )  # in numbers wider than the stored ones, the limits are those of the scaled values
    scale, offset = 1.0 if scale is None else float(scale), 0.0 if offset is None else float(offset)
    return Decoded(array, meant, (scale, offset) if scaled else None, values, (low, high), is_wider)


@dataclass(frozen=True)
class Decoded:
    """An array of packed values, decoded where it is read."""

    array: Readable
    meant: np.dtype[Any]  # the stored type with the sign that is meant
    scaling: tuple[float, float] | None  # factor and offset
    missing: tuple[Any, ...]  # stored values that stand for none
    bounds: tuple[Any, Any]  # of the values that are valid
    bounds_are_scaled: bool  # or else they are of the stored values

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        if self.scaling is None and not self.missing and self.bounds == (None, None):
            return self.meant
        if self.scaling is None and self.meant.kind == "f":
            return self.meant.newbyteorder("=")
        return np.dtype("f4" if self.scaling is None and self.meant.itemsize < 4 else "f8")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        values = np.asarray(self.array[slices])
        values = values.view(self.meant) if values.dtype != self.meant else values
        out: NDArray[Any] = values.astype(self.dtype)
        if self.scaling is not None:
            out = out * self.scaling[0] + self.scaling[1]
        low, high = self.bounds
        bounded = out.copy() if self.bounds_are_scaled else values
        for value in self.missing:
            out[values == value] = np.nan
        if low is not None:
            out[bounded < low] = np.nan
        if high is not None:
            out[bounded > high] = np.nan
        return out


def _with_sign(stored: np.dtype[Any], attributes: Mapping[str, Any]) -> np.dtype[Any]:
    said = str(_text(attributes.get("_Unsigned", ""))).lower()
    kind = {("i", "true"): "u", ("u", "false"): "i"}.get((stored.kind, said))
    return stored if kind is None else np.dtype(stored.str.replace(stored.kind, kind))


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _numbers(value: Any, key: str, name: str) -> list[Any]:
    """Return the numbers of an attribute; xarray writes floats into zarr's JSON as base64 of their eight bytes."""
    value = _text(value)
    if key == "_FillValue" and isinstance(value, str):
        if value in _JSON_FLOATS:
            return [float(value)]
        try:
            return [np.frombuffer(b64decode(value, validate=True), "<f8")[0]]
        except (Base64Error, ValueError, IndexError):
            pass
    found = np.asarray(value).ravel()
    if found.dtype.kind not in "iuf":
        raise DataError(f"{name}: its attribute {key} is {value!r}, not a number: correct or remove it")
    return list(found)


def _single(numbers: Mapping[str, list[Any]], key: str, name: str) -> Any:
    found = numbers.get(key)
    if found is None:
        return None
    if len(found) != 1 or not np.isfinite(found[0]):
        raise DataError(f"{name}: its attribute {key} must be one finite number, got {found}: correct or remove it")
    return found[0]


def _bounds(numbers: Mapping[str, list[Any]], name: str) -> tuple[Any, Any]:
    if "valid_range" not in numbers:
        return _single(numbers, "valid_min", name), _single(numbers, "valid_max", name)
    if len(numbers["valid_range"]) != 2:
        raise DataError(f"{name}: its attribute valid_range must be two numbers, got {numbers['valid_range']}")
    low, high = numbers["valid_range"]
    return low, high


def _of_type(value: Any, stored: np.dtype[Any], meant: np.dtype[Any]) -> Any:
    """Return a value of an attribute as the array would hold it: rounded to its precision, or of the sign meant."""
    if meant.kind == "f":
        return meant.type(value)
    if meant != stored and float(value) == int(value) and np.iinfo(stored).min <= value <= np.iinfo(stored).max:
        return np.asarray(int(value), stored).view(meant)[()]
    return value
