"""labels.zarr, probabilities.zarr, log_density.zarr: created empty, filled region by region, renamed when complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..core.expectation import Prediction
from .schema import FORMAT_VERSION, LOG_DENSITY, PROBABILITIES, ArraySpec, labels_spec, written_whole


@dataclass(frozen=True)
class ResultLayout:
    """The shape of the results."""

    grid: tuple[int, ...]
    chunks: tuple[int, ...]  # of the grid: the blocks in which regions are written
    n_components: int
    labels: bool
    probabilities: bool
    log_density: bool

    @property
    def specs(self) -> list[ArraySpec]:
        """The arrays that are wanted."""
        wanted = (self.labels, self.probabilities, self.log_density)
        return [
            s
            for s, want in zip((labels_spec(self.n_components), PROBABILITIES, LOG_DENSITY), wanted, strict=True)
            if want
        ]


@dataclass(frozen=True)
class ResultWriter:
    """Writes the results of a region from wherever it runs; regions are whole chunks, so writers never meet."""

    arrays: tuple[tuple[str, str], ...]  # (name, path of its group)

    def __call__(self, region: tuple[slice, ...], prediction: Prediction) -> None:
        shape = tuple(one.stop - one.start for one in region)
        for name, path in self.arrays:
            values: NDArray[Any] = getattr(prediction, name)
            array = zarr.open_array(path, path=name, mode="r+")
            array[region] = values.reshape(shape + values.shape[1:]).astype(array.dtype)


@contextmanager
def result_writer(directory: Path, layout: ResultLayout, attributes: dict[str, Any]) -> Iterator[ResultWriter]:
    """Give a writer of the wanted results; they take their names in the directory when the block ends well."""
    with ExitStack() as stack:
        arrays = []
        for spec in layout.specs:
            path = stack.enter_context(written_whole(directory / f"{spec.name}.zarr"))
            _create(path, spec, layout, attributes)
            arrays.append((spec.name, str(path)))
        yield ResultWriter(tuple(arrays))


def read_result(directory: Path, name: str) -> NDArray[Any]:
    """Return a whole result from a directory of results."""
    return np.asarray(zarr.open_array(str(directory / f"{name}.zarr"), path=name, mode="r")[...])


def _create(path: Path, spec: ArraySpec, layout: ResultLayout, attributes: dict[str, Any]) -> None:
    group = zarr.create_group(
        str(path), attributes={"daskgmm_kind": spec.name, "daskgmm_format": FORMAT_VERSION, **attributes}
    )
    by_component = "component" in spec.dims
    grid_dims = ("row",) if len(layout.grid) == 1 else tuple(f"axis_{i}" for i in range(len(layout.grid)))
    group.create_array(
        spec.name,
        shape=layout.grid + ((layout.n_components,) if by_component else ()),
        chunks=layout.chunks + ((layout.n_components,) if by_component else ()),
        dtype=spec.dtype,
        fill_value=int(spec.fill_value) if spec.dtype.startswith("int") else spec.fill_value,
        dimension_names=grid_dims + (("component",) if by_component else ()),
    )
