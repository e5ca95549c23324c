"""The plan of a job: how its rows are cut and what they take, from the source's shape alone; no row is read.

What --dry-run shows, what workers are checked for and what the job does are this one value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ..chunked.map_reduce import FAN_IN
from ..chunked.memory import ComputeOptions, Estimate, estimate
from ..chunked.projection import sampled_rows
from ..chunked.rows import Rows
from ..chunked.sweep import batches, bytes_in_pass
from ..concurrency import n_reading_ahead
from ..config import Config
from ..core.em.short_runs import bytes_of_short_runs
from ..core.init.many_components import bytes_of_exchanges
from ..core.init.partial_em import bytes_of_partial_em
from ..core.init.splitting import MAX_SPLITS
from ..core.init.starts import first_stage_rows, n_moved_restarts
from ..core.mixture.projection import Projection
from ..fitting.checks import check_enough_rows, check_model
from ..fitting.sweep import SelectionSpec, check_sweep
from ..fitting.width import FitConditions
from ..sources import Source
from .outputs import bytes_of_results, kinds_of

PROCESS_BYTES = 480 * 2**20  # libraries, kernels while they are compiled, and what allocators keep; measured 360 to 460
_AXES_COPIES = 4  # of the rows that principal components are found on: as drawn, scaled, and their products
_DRAWN_COPIES = 3  # of the sample: as drawn from each chunk, together, and in random order
_POINT_COPIES = 5  # of the rows that a restart works on: float64, standardised, whitened, and two of k-means
_DISTANCES = 8  # that k-means++ holds for each of these rows, one for each candidate
_MOVE_BYTES = 18 * 8  # bytes for each row of the sample while components are moved
_SUMMARY_COPIES = 2  # of the scatter of all rows, which are held: as it is summed up, and of the sample
_START_COPIES = 6  # of a restart's: its own, the correlations, and their eigenvectors with what these are found in
_READ_COPIES = 2  # of a stored chunk that is cut: as it is stored, and decoded
_SUMS_COPIES = 3  # of a pass's statistics in a thread that computes: of a tile, of a block, of a chunk
_PICTURE_COPIES = 8  # of an image: decoded and converted; beside its labels as array, as picture, and while resized


@dataclass(frozen=True)
class Memory:
    """What one process takes at most, bytes."""

    per_reader: int  # each thread that reads
    per_computer: int  # each thread that computes, beside that
    sample: int  # while it is fitted
    peak: int  # the whole process


@dataclass(frozen=True, eq=False)
class FitPlan:
    """What a job reads, and what its passes take."""

    config: Config  # of the job; of a sweep with the model of its largest candidate
    source: Source
    rows: Rows  # lazy
    needs: Estimate  # of a pass with one mixture
    n_sample: int  # rows
    n_threads: int  # of each process: those that compute, and those that read ahead
    fitted: Rows  # as they are fitted, of which shape and type count: reduced to principal components, or as they are
    other_bytes: int = 0  # of each process: the statistics of the other candidates of a sweep

    @property
    def conditions(self) -> FitConditions:
        """What the model must go with."""
        config = self.config
        return FitConditions(config.data.missing == "marginal", self.source.labels is not None, config.fit.inference)

    @property
    def knows_width(self) -> bool:
        """Whether it is known how many features are fitted; by a share of the variance they are known later."""
        reduce = self.config.model.reduce
        return reduce is None or reduce.features is not None

    def memory(self, *, keep: bool) -> Memory:
        """Return the peak memory of one process; rows that are kept are spread evenly over the processes."""
        config, needs, rows, fitted = self.config, self.needs, self.rows, self.fitted
        results = bytes_of_results(rows, config)
        sample = _sample_bytes(config, fitted, self.n_sample, needs)
        sample = max(sample, _axes_bytes(config, rows))
        held = -(-fitted.n_bytes // config.cluster.n_processes) if keep else 0
        picture = _PICTURE_COPIES * rows.n_bytes if self.source.is_image else 0
        per_thread = needs.per_thread + _READ_COPIES * _excess_of_stored_chunk(self.source, rows)
        working = self.n_threads * (per_thread + results) + config.cluster.compute_threads * needs.per_slot  # lent
        working += FAN_IN * max(needs.mixture, needs.scatter)  # statistics or summaries that wait to be added up
        peak = PROCESS_BYTES + held + working + sample + picture + self.other_bytes
        return Memory(needs.per_thread, needs.per_slot + results, sample, peak)


@dataclass(frozen=True)
class SweepReads:
    """How the candidates of a sweep share reads of the rows."""

    statistics: int  # bytes that the first pass carries of all mixtures
    n_reads: int  # of the rows in the first pass


def plan_fit(config: Config, source: Source) -> FitPlan:
    """Return the plan of a fit or a prediction; raise ConfigurationError for results that cannot be written."""
    rows = rows_of(source, config.compute)
    kinds_of(rows, config)
    fitted = _fitted_rows(rows, config)
    needs = estimate(fitted, config.model.n_components, config.model.family)
    if config.model.reduce is not None:
        sampled = sampled_rows(config.model.reduce, rows.n_features) > 0
        needs = _with_reading(needs, estimate(rows, 1, "diag", by_column=sampled))
    n_sample = min(config.fit.n_sample(config.model, fitted.n_features), rows.n_rows)
    computing = config.cluster.compute_threads
    n_threads = computing + n_reading_ahead(config.compute.read_ahead, computing)
    return FitPlan(config, source, rows, needs, n_sample, n_threads, fitted)


def _fitted_rows(rows: Rows, config: Config) -> Rows:
    """Return rows of the shape and type of those that are fitted; by a share of variance as wide as they can be."""
    reduce = config.model.reduce
    if reduce is None:
        return rows
    reduce.check(rows.n_features)
    narrow = rows.array[..., : reduce.most_features(rows.n_features)]
    return replace(rows, array=narrow.astype(Projection.dtype(rows.array.dtype)))


def _with_reading(needs: Estimate, reading: Estimate) -> Estimate:
    """Return the memory of passes over principal components that are computed from chunks as they are read."""
    return replace(
        needs,
        largest_chunk=reading.largest_chunk,
        per_thread=reading.per_thread + needs.largest_chunk,
        per_slot=max(needs.per_slot, reading.per_slot),
    )


def _axes_bytes(config: Config, rows: Rows) -> int:
    """Return the memory of the search for principal components: a sample, or the scatter of all rows."""
    reduce, d = config.model.reduce, rows.n_features
    if reduce is None:
        return 0
    size = min(sampled_rows(reduce, d), rows.n_rows)
    return 8 * _AXES_COPIES * size * d if size else 8 * (FAN_IN + _AXES_COPIES) * d * d


def check_fit_plan(plan: FitPlan) -> None:
    """Raise ConfigurationError or DataError for a fit that no values of the rows could carry, before any is read."""
    data, model = plan.config.data, plan.config.model
    if plan.knows_width:
        check_model(model, plan.fitted.n_features, plan.conditions)
    if data.mask is None and data.weights is None:
        check_enough_rows(plan.rows.n_rows, model.n_components)


def check_sweep_plan(plan: FitPlan) -> None:
    """Raise ConfigurationError for a sweep, as above; candidates of too many components may fail among others."""
    config = plan.config
    if plan.knows_width:
        spec = SelectionSpec(config.select, config.model, config.fit, config.fit.random_state)
        check_sweep(spec, plan.fitted.n_features, missing=plan.conditions.missing)


def plan_sweep(config: Config, source: Source) -> FitPlan:
    """Return the plan of a sweep: that of a fit of its largest candidate, with what all of them take together."""
    select = config.select
    select.check_inference(config.fit, config.model)
    plan = plan_fit(config.of(select.largest), source)
    carried = _bytes_of_pass(config, plan.fitted.n_features)
    most = min(sum(carried), max(select.batch_bytes, *carried))
    copies = FAN_IN + 1 + _SUMS_COPIES * config.cluster.compute_threads
    n_sample = min(select.n_sample(config.fit, config.model, plan.fitted.n_features), plan.rows.n_rows)
    models = (config.of(one).model for one in select.candidates)
    n_restarts = max(config.fit.n_restarts(model, n_sample, plan.fitted.n_features) for model in models)
    starts = (n_restarts + MAX_SPLITS) * len(select.types) * max(carried)
    return replace(plan, n_sample=n_sample, other_bytes=copies * most + starts)


def plan_reads(config: Config, n_features: int) -> SweepReads:
    """Return the bytes and the batches of the candidates of a sweep that share reads in its first pass."""
    carried = _bytes_of_pass(config, n_features)
    return SweepReads(sum(carried), len(list(batches(carried, config.select.batch_bytes))))


def _bytes_of_pass(config: Config, n_features: int) -> list[int]:
    """Return the bytes that the first pass of a sweep carries of each mixture."""
    some_rows = config.select.n_folds > 0
    return [
        bytes_in_pass(one.n_components, n_features, one.covariance_type, some_rows=some_rows)
        for one in config.select.candidates
        for _ in range(1 + config.select.n_folds)
    ]


def rows_of(source: Source, compute: ComputeOptions) -> Rows:
    """Return the source's rows, lazily: none is read."""
    rows = Rows.of_readable(
        source.array, source.stored_chunks, source.weights, source.valid, source.fill_values, compute.chunk_bytes
    )
    return replace(rows, naming=source.naming, missing=source.missing)


def _excess_of_stored_chunk(source: Source, rows: Rows) -> int:
    """Return by how many bytes a chunk of the store exceeds one of ours: the whole of it is decoded for a part."""
    stored = source.stored_chunks
    if not stored:
        return 0
    n_rows = max(stored[0]) if isinstance(stored[0], tuple) else prod(int(size) for size in stored)
    row_bytes = rows.n_features * rows.array.dtype.itemsize
    return max(min(n_rows, rows.n_rows) - max(rows.block_sizes), 0) * int(row_bytes)


def _sample_bytes(config: Config, rows: Rows, n_sample: int, needs: Estimate) -> int:
    """Return the memory of the sample with restarts that run at once on its first part, or with moves."""
    n_restarts = config.fit.n_restarts(config.model, n_sample, rows.n_features)
    n_restarts = min(n_restarts, config.cluster.compute_threads)
    n_moving = n_moved_restarts(n_restarts, config.fit.n_finalists, n_sample)
    mixtures = needs.restart + _START_COPIES * needs.scatter
    drawn = _DRAWN_COPIES * n_sample * rows.n_features * int(rows.array.dtype.itemsize)
    drawn += _SUMMARY_COPIES * needs.scatter
    points = first_stage_rows(n_sample) * (_POINT_COPIES * rows.n_features + _DISTANCES) * 8
    k, d = config.model.n_components, rows.n_features
    threads = config.cluster.compute_threads
    runs = max(bytes_of_short_runs(n_sample, d), bytes_of_partial_em(n_sample, k, d, config.model.family, threads))
    moving = max(_MOVE_BYTES * n_sample, n_moving * bytes_of_exchanges(n_sample, k) + runs)
    return drawn + max(n_restarts * (points + mixtures), moving + n_moving * mixtures)
