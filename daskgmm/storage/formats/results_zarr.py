"""labels, probabilities, log_density and anomaly as zarr: created empty, filled region by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, Store
from zarr.storage import MemoryStore

from ...core.scoring.prediction import Prediction, PredictionOutputs
from ...errors import ConfigurationError
from ...filesystem.checksums import Checksum, Checksums
from ...filesystem.guards import Guard, guard_of
from ...filesystem.location import (
    guard_write,
    leads_elsewhere,
    remove,
    writable_store,
    write_first,
    write_whole,
    zarr_store,
)
from ...filesystem.retry import retry, sendable
from ...filesystem.zarr_internals import Buffer, BufferPrototype, StoreWrapper
from ...sources.base import Coordinate
from ..run.directory import OutputOptions
from ..run.finished_parts import Region, mark_done
from ..run.staging import Unfinished
from ..schema import (
    ANOMALY,
    FORMAT_VERSION,
    IMPUTED,
    IMPUTED_ERROR,
    LOG_DENSITY,
    PROBABILITIES,
    TOP_PROBABILITIES,
    ArraySpec,
    clusters_spec,
    column_stem,
    components_spec,
    labels_spec,
)


@dataclass(frozen=True)
class ResultKinds:
    """Which results are written of each row."""

    n_components: int
    labels: bool = True
    probabilities: bool = False
    top: int | None = None  # of the probabilities, those of this many components
    log_density: bool = False
    threshold: float | None = None  # of the log-density; rows below it are anomalies
    clusters: tuple[int, ...] | None = None  # of the components, where the cluster of each row is written
    n_noise: int = field(default=0, repr=False)  # 1 if there is noise, whose probability comes last
    imputed: str | None = None  # the rows with their missing values filled, in this type
    imputed_error: bool = False
    features: tuple[str, ...] = ()  # names of these columns

    @classmethod
    def of(
        cls,
        output: OutputOptions,
        n_components: int,
        threshold: float | None,
        clusters: tuple[int, ...] | None = None,
        *,
        has_noise: bool = False,
    ) -> ResultKinds:
        """Return the results that the options name, but for imputed rows."""
        width = n_components + has_noise
        top = None if output.top_m is None else min(output.top_m, width)
        kinds = output.labels, output.has_probabilities, top, output.log_density
        return cls(n_components, *kinds, threshold, clusters, int(has_noise))

    def with_imputed(self, output: OutputOptions, dtype: str, features: tuple[str, ...]) -> ResultKinds:
        """Return the results with imputed rows of a type, if the options name them."""
        imputed = dtype if output.imputed else None
        if imputed is None and not output.imputed_error:
            return self
        return replace(self, imputed=imputed, imputed_error=output.imputed_error, features=features)

    @property
    def prediction_outputs(self) -> PredictionOutputs:
        """What a prediction must hold for it."""
        has_density = self.log_density or self.threshold is not None
        imputed = self.imputed is not None
        return PredictionOutputs(
            self.probabilities, has_density, self.top, np.float32, self.clusters, imputed, self.imputed_error
        )

    @property
    def specs(self) -> dict[str, list[ArraySpec]]:
        """The arrays of each result."""
        k, has_noise = self.n_components, self.n_noise > 0
        by_rank = [TOP_PROBABILITIES, components_spec(k, has_noise=has_noise)]
        kinds = {
            "labels": [labels_spec(k, has_noise=has_noise)] if self.labels else [],
            "clusters": [] if self.clusters is None else [clusters_spec(k, has_noise=has_noise)],
            "probabilities": (by_rank if self.top else [PROBABILITIES]) if self.probabilities else [],
            "log_density": [LOG_DENSITY] if self.log_density else [],
            "anomaly": [] if self.threshold is None else [ANOMALY],
            "imputed": [
                *([] if self.imputed is None else [replace(IMPUTED, dtype=self.imputed)]),
                *([IMPUTED_ERROR] if self.imputed_error else []),
            ],
        }
        return {name: specs for name, specs in kinds.items() if specs}

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's results."""
        return sum(np.dtype(spec.dtype).itemsize * self.width(spec) for specs in self.specs.values() for spec in specs)

    def width(self, spec: ArraySpec) -> int:
        """Return the number of values that an array has for each row."""
        by_component = self.n_components + self.n_noise
        widths = {"component": by_component, "rank": self.top or 1, "feature": len(self.features)}
        return widths.get(spec.dims[-1], 1)

    def columns(self, spec: ArraySpec) -> list[str]:
        """Return the names of an array's columns in a table: one, or one for each component, rank or feature."""
        stem = column_stem(spec)
        if len(spec.dims) == 1:
            return [stem]
        return [f"{stem}_{one}" for one in (self.features if spec.dims[-1] == "feature" else range(self.width(spec)))]

    def values(self, spec: ArraySpec, prediction: Prediction) -> NDArray[Any]:
        """Return an array's values of a prediction, in its dtype."""
        if spec is ANOMALY:
            assert prediction.log_density is not None
            assert self.threshold is not None
            return prediction.log_density < self.threshold  # NaN, of a row that is left out, is not below
        values: NDArray[Any] = getattr(prediction, spec.name)
        return values.astype(spec.dtype, copy=False)


_TAKEN_NAMES = {
    "labels",
    "clusters",
    "probabilities",
    "components",
    "log_density",
    "anomaly",
    "component",
    "rank",
    "imputed",
    "imputed_error",
    "feature",
}  # names of results


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
        return tuple(other if dim in _TAKEN_NAMES else dim for dim, other in zip(self.dims, made_up, strict=True))


class _Chunks(StoreWrapper):
    """A store that takes the checksum of each chunk put into it. None is read: what is written are whole ones."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.checksums: Checksums = {}

    def wrap(self, store: Store) -> _Chunks:
        """Return another store, whose checksums are added to the same."""
        wrapped = _Chunks(store)
        wrapped.checksums = self.checksums
        return wrapped

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return await super().get(key, prototype, byte_range) if key.endswith("zarr.json") else None

    async def set(self, key: str, value: Buffer) -> None:
        self.checksums[key] = Checksum.of(value.to_bytes())
        await super().set(key, value)

    async def delete(self, key: str) -> None:  # of a chunk of fill values alone
        self.checksums[key] = None
        await super().delete(key)


@dataclass(frozen=True)
class ZarrWriter:
    """Writes the results of a region from wherever it runs; regions are whole chunks, so writers never meet."""

    folder: Path
    kinds: ResultKinds
    guard: Guard | None

    @classmethod
    def create(cls, work: Unfinished, kinds: ResultKinds, layout: GridLayout, attributes: dict[str, Any]) -> ZarrWriter:
        """Return the writer to arrays that are made for it, or that an interrupted job left."""
        for name, specs in kinds.specs.items():
            path, create = work.path / f"{name}.zarr", partial(_create, name, specs, kinds, layout, attributes)
            with guard_write(work.path):
                if path.exists():
                    _go_on(path, create)
                else:
                    with write_whole(path) as temporary:
                        create(writable_store(temporary))
        return cls(work.path, kinds, guard_of(work.path))

    def __call__(self, region: Region, prediction: Prediction) -> None:
        with sendable(), guard_write(self.folder, self.guard):
            retry(lambda: self._write(region, prediction))

    def _write(self, region: Region, prediction: Prediction) -> None:
        shape = tuple(one.stop - one.start for one in region)
        files: Checksums = {}
        for name, specs in self.kinds.specs.items():
            store = _Chunks(writable_store(self.folder / f"{name}.zarr"))
            for spec in specs:
                values = self.kinds.values(spec, prediction)
                array = zarr.open_array(store, path=spec.name, mode="r+")
                array[region] = values.reshape(shape + values.shape[1:])
            files |= {f"{name}.zarr/{key}": checksum for key, checksum in store.checksums.items()}
        mark_done(self.folder, region, files)


def read_result(directory: Path, name: str) -> NDArray[Any]:
    """Return a whole result from a directory of results."""
    return np.asarray(zarr.open_array(**zarr_store(directory / f"{name}.zarr"), path=name, mode="r")[...])


_GROUP_FILE = "zarr.json"  # of the group itself


def _go_on(path: Path, create: Callable[[Store], None]) -> None:
    """Describe what an interrupted job left at `path` as this one would.

    Raises ConfigurationError unless the arrays are stored as they would be created: zarr is to open them, and other
    metadata could have it load other codecs, or write elsewhere.
    """
    created: dict[str, Buffer] = {}
    create(MemoryStore(created))
    group = created.pop(_GROUP_FILE).to_bytes()
    if not all(_is_stored(path / name, path.parent, content.to_bytes()) for name, content in created.items()):
        raise ConfigurationError(
            f"{path} is not stored as this job stores it: start over with --overwrite, or remove it to have it written "
            "again"
        )
    if not _is_stored(path / _GROUP_FILE, path.parent, group):  # its attributes name the configuration that is used now
        remove(path / _GROUP_FILE)
        write_first(path / _GROUP_FILE, group)


def _is_stored(file: Path, folder: Path, content: bytes) -> bool:
    return not leads_elsewhere(file, folder) and file.is_file() and file.read_bytes() == content


def _create(
    name: str, specs: list[ArraySpec], kinds: ResultKinds, layout: GridLayout, attributes: dict[str, Any], store: Store
) -> None:
    group = zarr.create_group(store, attributes={"daskgmm_kind": name, "daskgmm_format": FORMAT_VERSION, **attributes})
    for spec in specs:
        more = spec.dims[1:]  # behind the grid
        group.create_array(
            spec.name,
            shape=layout.grid + (kinds.width(spec),) * len(more),
            chunks=layout.chunks + (kinds.width(spec),) * len(more),
            dtype=spec.dtype,
            fill_value=np.dtype(spec.dtype).type(spec.fill_value),
            dimension_names=layout.names + more,
            attributes=spec.attributes,
        )
    for dim, coordinate in layout.coordinates.items():
        if dim in layout.names:
            attributes = {name: value for name, value in coordinate.attributes.items() if name != "_FillValue"}
            group.create_array(dim, data=_storable(coordinate.values), dimension_names=(dim,), attributes=attributes)


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """Return texts as the type that zarr has a specification for."""
    return values.astype(np.dtypes.StringDType()) if values.dtype.kind == "U" else values
