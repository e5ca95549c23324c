"""Sources: open what the configuration names as an array of rows, with its names and how it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from math import isnan
from os.path import expanduser
from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError, without_credentials
from ..filesystem.location import PUBLIC_OPTIONS, is_url, secrets_of
from ..filesystem.retry import PATIENT_POLICY, RetryPolicy
from .base import Source
from .detection import check_exists, check_signature, detect
from .formats import FORMATS
from .guarded import Guard
from .options import DataOptions
from .source_format import SourceFormat


def open_source(options: DataOptions, retry: RetryPolicy = PATIENT_POLICY, *, weighted: bool = True) -> Source:
    """Return the source that the options name; raise DataError where it is not there or not numeric.

    With `weighted` false row weights and labels are not opened, and may be missing: what they name is still no feature.
    """
    options = replace(options, path=expanduser(options.path.removeprefix("file://")))
    guard = Guard(retry, frozenset((*_texts(options.storage_options), *secrets_of(options.path))))
    chosen = guard(lambda: _format(options), options.path)
    _check_options(options, chosen)
    if weighted and options.given is not None:
        raise ConfigurationError("data.given is for predict: a fit takes the features that data.columns names")
    if not is_url(options.path) and chosen.name != "sample":
        check_exists(options.path, chosen)
        check_signature(options.path, chosen)
    source = guard(lambda: chosen.open(options, guard, weighted), options.path)
    _check(source, options if weighted else replace(options, weights=None, labels=None))
    return replace(
        source,
        description=without_credentials(source.description),
        fill_values=options.fill_values,
        missing=options.missing == "marginal",
    )


def _format(options: DataOptions) -> SourceFormat:
    if options.format == "auto":
        return detect(options.path, options.storage_options)
    if options.format not in FORMATS:
        known = ", ".join(FORMATS)
        raise DataError(f"data.path {options.path!r}: {options.format} is no format that can be read; known: {known}")
    return FORMATS[options.format]


def _check_options(options: DataOptions, chosen: SourceFormat) -> None:
    """Raise where an option is set that this kind of source has no use for."""
    if options.arrays is not None and len(set(options.arrays)) < len(options.arrays):
        raise ConfigurationError(f"data.arrays names an array twice: {', '.join(options.arrays)}")
    if options.array is not None and options.arrays is not None:
        raise ConfigurationError("data.array and data.arrays are both set: name one array, or several to be stacked")
    if options.missing == "marginal" and any(isnan(one) for one in options.fill_values):
        raise ConfigurationError(
            "data.missing is marginal, but data.mask leaves rows with NaN out, so no value is missing: drop one of them"
        )
    if options.feature_axis is not None and options.arrays is not None:
        raise ConfigurationError("data.feature_axis is of one array, but data.arrays are the features: leave one out")
    if is_url(options.path) and not chosen.from_url:
        remedy = "copy it here, or store it as zarr"
        raise DataError(f"data.path {options.path!r}: {chosen.name} is read from files, not from URLs: {remedy}")
    if options.storage_options and not is_url(options.path):
        raise ConfigurationError(f"data.storage_options are for URLs, but {options.path!r} is a file: leave them out")
    default = DataOptions(options.path)
    for key in (field.name for field in fields(options)):
        takers = [one.name for one in FORMATS.values() if key in one.takes]
        if takers and chosen.name not in takers and getattr(options, key) != getattr(default, key):
            raise ConfigurationError(
                f"data.{key} is for {', '.join(takers)}, and {options.path} is {chosen.name}: leave it out"
            )


def _check(source: Source, options: DataOptions) -> None:
    _check_named(source, options)
    shape, dtype = source.array.shape, np.dtype(source.array.dtype)
    if dtype.kind not in "iufb":
        raise DataError(f"{source.description} holds {dtype}, not numbers: name a numeric array")
    if dtype.kind == "f" and dtype.itemsize > np.dtype(np.float64).itemsize:
        raise DataError(f"{source.description} holds {dtype}, which no kernel computes with: store it as float64")
    if not shape:
        raise DataError(f"{source.description} is a single number: rows need at least one axis")
    if 0 in shape:
        raise DataError(f"{source.description} is empty: its shape is {shape}")
    named = {"weights": source.weights, "labels": source.labels, "mask": source.valid}
    for key, array in named.items():
        if array is not None:
            _check_beside(f"data.{key} {getattr(options, key)!r}", array, source)


def _check_named(source: Source, options: DataOptions) -> None:
    """Raise DataError if the source lacks a mask, weights or labels that the options name."""
    if options.weights is not None and source.weights is None:
        raise DataError(f"data.weights: {source.description} has no row weights; they come with named arrays and .npy")
    if options.labels is not None and source.labels is None:
        raise DataError(f"data.labels: {source.description} has no labels; they come with named arrays and .npy")
    if options.mask_name is not None and source.valid is None:
        raise DataError(f"data.mask: {source.description} has no other arrays; give a fill value, or leave it out")


def _check_beside(name: str, array: Any, source: Source) -> None:
    if np.dtype(array.dtype).kind not in "iufb":
        raise DataError(f"{name} holds {array.dtype}, not numbers")
    if tuple(array.shape) != source.grid:
        rows = f"the rows of {source.description} have {source.grid}: give one each"
        raise DataError(f"{name} has the shape {tuple(array.shape)}, but {rows}")


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in nested storage options: credentials among them."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name in PUBLIC_OPTIONS and isinstance(one, str):
                yield from secrets_of(one)
            else:
                yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str) and len(value) >= _MIN_SECRET_LENGTH:
        yield value


_MIN_SECRET_LENGTH = 4  # characters: to hide shorter texts would make messages unreadable
