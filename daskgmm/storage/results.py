"""labels, probabilities, log_density and anomaly as zarr: created empty, filled region by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray

from ..core.prediction import Prediction, Wanted
from ..errors import ConfigurationError
from .faults import retried
from .places import remove, writing, written_whole, zarr_store
from .plain import header_text
from .run import OutputOptions
from .schema import (
    ANOMALY,
    FORMAT_VERSION,
    LOG_DENSITY,
    PROBABILITIES,
    TOP_PROBABILITIES,
    ArraySpec,
    components_spec,
    labels_spec,
)
from .sources.data import Coordinate
from .unfinished import Region, Unfinished, mark_done


@dataclass(frozen=True)
class ResultKinds:
    """Which results are written of each row."""

    n_components: int
    labels: bool = True
    probabilities: bool = False
    top: int | None = None  # of the probabilities, those of this many components
    log_density: bool = False
    threshold: float | None = None  # of the log-density; rows below it are anomalies

    @classmethod
    def of(cls, output: OutputOptions, n_components: int, threshold: float | None) -> ResultKinds:
        """Return the results that the options name."""
        top = None if output.top_m is None else min(output.top_m, n_components)
        return cls(n_components, output.labels, output.has_probabilities, top, output.log_density, threshold)

    @property
    def wanted(self) -> Wanted:
        """What a prediction must hold for it."""
        return Wanted(self.probabilities, self.log_density or self.threshold is not None, self.top, np.float32)

    @property
    def specs(self) -> dict[str, list[ArraySpec]]:
        """The arrays of each result."""
        by_rank = [TOP_PROBABILITIES, components_spec(self.n_components)]
        kinds = {
            "labels": [labels_spec(self.n_components)] if self.labels else [],
            "probabilities": (by_rank if self.top else [PROBABILITIES]) if self.probabilities else [],
            "log_density": [LOG_DENSITY] if self.log_density else [],
            "anomaly": [] if self.threshold is None else [ANOMALY],
        }
        return {name: specs for name, specs in kinds.items() if specs}

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's results."""
        return sum(np.dtype(spec.dtype).itemsize * self.width(spec) for specs in self.specs.values() for spec in specs)

    def width(self, spec: ArraySpec) -> int:
        """Return how many values an array holds of each row."""
        return {"component": self.n_components, "rank": self.top or 1}.get(spec.dims[-1], 1)

    def values(self, spec: ArraySpec, prediction: Prediction) -> NDArray[Any]:
        """Return an array's values of a prediction, in its dtype."""
        if spec is ANOMALY:
            assert prediction.log_density is not None
            assert self.threshold is not None
            return prediction.log_density < self.threshold  # NaN, of a row that is left out, is not below
        values: NDArray[Any] = getattr(prediction, spec.name)
        return values.astype(spec.dtype, copy=False)


_TAKEN = {"labels", "probabilities", "components", "log_density", "anomaly", "component", "rank"}  # names of results


@dataclass(frozen=True)
class GridLayout:
    """How results lie on the grid of the rows."""

    grid: tuple[int, ...]
    chunks: tuple[int, ...]  # the regions that are written
    dims: tuple[str, ...] | None = None  # names of the grid's axes
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the grid's axes: those of the source where results can have them, or made up."""
        made_up = ("row",) if len(self.grid) == 1 else tuple(f"axis_{i}" for i in range(len(self.grid)))
        if self.dims is None or len(set(self.dims)) < len(self.dims):
            return made_up
        return tuple(other if dim in _TAKEN else dim for dim, other in zip(self.dims, made_up, strict=True))


@dataclass(frozen=True)
class ZarrWriter:
    """Writes the results of a region from wherever it runs; regions are whole chunks, so writers never meet."""

    folder: Path
    kinds: ResultKinds

    @classmethod
    def create(cls, work: Unfinished, kinds: ResultKinds, layout: GridLayout, attributes: dict[str, Any]) -> ZarrWriter:
        """Return the writer to arrays that are made for it, or that an interrupted job left."""
        for name, specs in kinds.specs.items():
            path, create = work.path / f"{name}.zarr", partial(_create, name, specs, kinds, layout, attributes)
            if path.exists():
                _check_same(path, [spec.name for spec in specs], create)
            else:
                with writing(work.path), written_whole(path) as temporary:
                    create(temporary)
        return cls(work.path, kinds)

    def __call__(self, region: Region, prediction: Prediction) -> None:
        with writing(self.folder):
            retried(lambda: self._write(region, prediction))

    def _write(self, region: Region, prediction: Prediction) -> None:
        shape = tuple(one.stop - one.start for one in region)
        for name, specs in self.kinds.specs.items():
            store = zarr_store(self.folder / f"{name}.zarr")
            for spec in specs:
                values = self.kinds.values(spec, prediction)
                array = zarr.open_array(**store, path=spec.name, mode="r+")
                array[region] = values.reshape(shape + values.shape[1:])
        mark_done(self.folder, region)


def read_result(directory: Path, name: str) -> NDArray[Any]:
    """Return a whole result from a directory of results."""
    return np.asarray(zarr.open_array(**zarr_store(directory / f"{name}.zarr"), path=name, mode="r")[...])


def _check_same(path: Path, names: list[str], create: Callable[[Path], None]) -> None:
    """Raise ConfigurationError unless the arrays at `path` are stored as they would be created: zarr is to open them.

    Other metadata could have it load other codecs, or write elsewhere.
    """
    expected = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        create(expected)
        same = all(header_text(path, name) == header_text(expected, name) for name in names)
    except ValueError:
        same = False
    finally:
        remove(expected)
    if not same:
        raise ConfigurationError(f"{path} is not stored as this job stores it: start anew with --overwrite")


def _create(
    name: str, specs: list[ArraySpec], kinds: ResultKinds, layout: GridLayout, attributes: dict[str, Any], path: Path
) -> None:
    group = zarr.create_group(
        **zarr_store(path), attributes={"daskgmm_kind": name, "daskgmm_format": FORMAT_VERSION, **attributes}
    )
    for spec in specs:
        more = spec.dims[1:]  # behind the grid
        group.create_array(
            spec.name,
            shape=layout.grid + (kinds.width(spec),) * len(more),
            chunks=layout.chunks + (kinds.width(spec),) * len(more),
            dtype=spec.dtype,
            fill_value=np.dtype(spec.dtype).type(spec.fill_value),
            dimension_names=layout.names + more,
        )
    for dim, coordinate in layout.coordinates.items():
        if dim in layout.names:
            attributes = {name: value for name, value in coordinate.attributes.items() if name != "_FillValue"}
            group.create_array(dim, data=_storable(coordinate.values), dimension_names=(dim,), attributes=attributes)


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """Return texts as the type that zarr has a specification for."""
    return values.astype(np.dtypes.StringDType()) if values.dtype.kind == "U" else values
