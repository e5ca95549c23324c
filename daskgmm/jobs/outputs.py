"""The results of a job: which are written of its rows, how they lie, and what they are results of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..chunked.chunk_plan import strip_length
from ..chunked.memory import resp_bytes
from ..chunked.prediction import Write
from ..chunked.rows import Rows
from ..config import Config
from ..core.em.fitted_model import Model
from ..core.scoring.merging import Clusters
from ..errors import ConfigurationError
from ..provenance import installed_version
from ..sources import DataOptions, Source
from ..storage.formats.model import fingerprint
from ..storage.formats.results_parquet import TableWriter
from ..storage.formats.results_zarr import GridLayout, ResultKinds, ZarrWriter
from ..storage.run.directory import OutputOptions
from ..storage.run.manifest import Plan
from ..storage.run.staging import Unfinished
from .resume import plan_of_rows

_FIT_ONLY_OPTIONS = {"weights", "labels"}  # a prediction takes none


@dataclass(frozen=True, eq=False)
class Results:
    """What is written of the rows of a source."""

    rows: Rows
    source: Source
    kinds: ResultKinds
    attributes: dict[str, Any]  # which model, configuration and version wrote them
    data: DataOptions

    @property
    def strip(self) -> int:
        """Steps of the first axis of each block that are scored and written at once."""
        return _strip(self.rows, self.kinds)

    @property
    def plan(self) -> Plan:
        """What the results depend on, for a job that continues with them."""
        return {
            **plan_of_rows(self.rows, self.data, self.strip, _FIT_ONLY_OPTIONS),
            "model": self.attributes["model"],
            "results": repr(self.kinds),
        }

    def writer(self, work: Unfinished) -> Write:
        """Return the writer to the folder: a table's results are a table, all others lie on the grid."""
        if self.source.keys is not None:
            return TableWriter.create(work, self.kinds, self.source.keys, self.attributes)
        chunks = (self.strip, *(sizes[0] for sizes in self.rows.array.chunks[1:-1]))
        layout = GridLayout(self.rows.grid, chunks, self.source.dims, self.source.coordinates)
        return ZarrWriter.create(work, self.kinds, layout, self.attributes)


_RESULT_COPIES = 2  # as they are handed on, and as they are written
_SCORE_BYTES = 12  # of a row's label and log-density as they are computed


def _strip(rows: Rows, kinds: ResultKinds) -> int:
    length, *others = (max(sizes) for sizes in rows.array.chunks[:-1])
    whole = len(rows.array.chunks[0]) > 1  # strips of several blocks are chunks of one array
    return strip_length(length, (kinds.row_bytes + _SCORE_BYTES) * prod(others), whole)


def bytes_of_results(rows: Rows, config: Config) -> int:
    """Return the bytes that a task takes for results at once: those of a strip, and the scratch of their products."""
    kinds, k = kinds_of(rows, config), config.model.n_components
    if not kinds.specs:
        return 0
    n_rows = _strip(rows, kinds) * prod(max(sizes) for sizes in rows.array.chunks[1:-1])
    scratch = resp_bytes(n_rows, k) if kinds.probabilities or kinds.clusters else 0
    return int(n_rows * (_RESULT_COPIES * kinds.row_bytes + _SCORE_BYTES) + scratch)


def kinds_of(rows: Rows, config: Config) -> ResultKinds:
    """Return the results that the configuration asks for, before a model is known; raise as `_kinds`."""
    k, has_noise = config.model.n_components, config.model.noise is not False
    clusters = None if config.output.clusters is None else tuple(range(k))  # as many as they can be
    return _kinds(config.output, rows, k, config.output.anomaly_quantile, clusters, has_noise=has_noise)


def _kinds(
    output: OutputOptions,
    rows: Rows,
    n_components: int,
    threshold: float | None,
    clusters: tuple[int, ...] | None,
    *,
    has_noise: bool,
) -> ResultKinds:
    """Return the results that the options name.

    Raises ConfigurationError if rows without gaps would be imputed, or if two columns of results had one name.
    """
    if (output.imputed or output.imputed_error) and not rows.missing:
        raise ConfigurationError("output.imputed fills missing values, but data.missing is error: set it to marginal")
    kinds = ResultKinds.of(output, n_components, threshold, clusters, has_noise=has_noise)
    dtype = rows.array.dtype if rows.array.dtype.kind == "f" else np.dtype(np.float64)
    features = rows.naming.features or tuple(map(str, range(rows.n_features)))
    kinds = kinds.with_imputed(output, dtype.newbyteorder("=").name, tuple(features))
    columns = Counter(name for specs in kinds.specs.values() for spec in specs for name in kinds.columns(spec))
    twice = next((name for name, n in columns.items() if n > 1), None)
    if twice is not None:
        raise ConfigurationError(
            f"two columns of results would be named {twice!r}: rename the feature that makes it one, or ask for "
            "output.imputed or output.imputed_error alone"
        )
    return kinds


def results_of(rows: Rows, source: Source, model: Model, config: Config, clusters: Clusters | None = None) -> Results:
    """Return the results that the configuration asks for; those of clusters if the clusters of components are given."""
    threshold = model.anomaly.threshold if model.anomaly and config.output.anomaly_quantile is not None else None
    attributes = {
        "source": source.description,
        "model": fingerprint(model),
        "configuration": config.to_yaml(),
        "daskgmm_version": installed_version("daskgmm"),
        **({} if threshold is None else {"anomaly_threshold": threshold}),
        **({} if clusters is None else {"clusters_of_components": list(clusters.numbers)}),
    }
    numbers, has_noise = None if clusters is None else clusters.numbers, model.mixture.noise is not None
    kinds = _kinds(config.output, rows, model.mixture.n_components, threshold, numbers, has_noise=has_noise)
    return Results(rows, source, kinds, attributes, config.data)
