"""The plan of a fit: what --dry-run shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ..chunked.map_reduce import FAN_IN
from ..chunked.memory import ComputeOptions, Estimate, estimate
from ..chunked.rows import Rows
from ..chunked.sweep import batches, bytes_in_pass
from ..concurrency import n_reading_ahead
from ..config import Config
from ..core.init.splitting import MOST_SPLITS
from ..core.init.starts import heat_rows, how_many_moved
from ..sources import Source, open_source
from .outputs import bytes_of_results

_MIB = 2**20
_PROCESS = 450 * _MIB  # libraries, kernels while they are compiled, and what allocators keep; measured 360 to 410
_DRAWN_COPIES = 3  # of the sample: as drawn from each chunk, together, and in random order
_POINT_COPIES = 5  # of the rows that a restart works on: float64, standardised, whitened, and two of k-means
_DISTANCES = 8  # that k-means++ holds for each of these rows, one for each candidate
_MOVING = 18 * 8  # bytes for each row of the sample while components are moved
_MIXTURE_COPIES = 12  # k x F, while a restart is started and improved: statistics, covariances, their factors
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


def rows_of(source: Source, compute: ComputeOptions) -> Rows:
    """Return the source's rows, lazily: none is read."""
    rows = Rows.of_readable(
        source.array, source.stored_chunks, source.weights, source.valid, source.fill_values, compute.chunk_bytes
    )
    return replace(rows, naming=source.naming)


def plan(config: Config) -> str:
    """Return the plan of a fit as text, from the source's shape alone: no row is read and nothing is written."""
    source = open_source(config.data)
    rows = rows_of(source, config.compute)
    needs, n_sample = needs_of(rows, config), _n_sample(config, rows)
    return _text(_facts(config, source, rows, n_sample, memory_of_process(config, source, rows, needs)))


def plan_selection(config: Config) -> str:
    """Return the plan of a sweep as text, as `plan` does for a fit."""
    source, select = open_source(config.data), config.select
    rows = rows_of(source, config.compute)
    n_sample = min(select.n_sample(config.fit, config.model, rows.n_features), rows.n_rows)
    carried = _carried(config, rows.n_features)
    n_batches = len(list(batches(carried, select.batch_bytes)))
    most = min(sum(carried), max(select.batch_bytes, *carried))
    largest = config.of(select.largest)
    memory = memory_of_process(largest, source, rows, needs_of(rows, largest))
    copies = FAN_IN + 1 + _SUMS_COPIES * config.cluster.compute_threads
    starts = (config.fit.n_init + MOST_SPLITS) * len(select.types) * max(carried)
    facts = _facts(largest, source, rows, n_sample, replace(memory, peak=memory.peak + copies * most + starts))
    sizes, types = ", ".join(map(str, select.sizes)), ", ".join(select.types)
    folds = f" with {select.n_folds} folds" if select.n_folds else ""
    reads = "one read" if n_batches == 1 else f"{n_batches} reads of at most {select.batch_bytes / _MIB:.0f} MiB each"
    named = {
        "candidates": f"{len(select.candidates)} by {select.criterion}{folds}: {types}, each of {sizes} components",
        "passes": f"shared by all live candidates: at first {sum(carried) / _MIB:.2f} MiB of statistics, in {reads}",
    }
    return _text({**named, **facts})


def _carried(config: Config, n_features: int) -> list[int]:
    """Return the bytes that the first pass of a sweep carries of each mixture."""
    some_rows = config.select.n_folds > 0
    return [
        bytes_in_pass(one.n_components, n_features, one.covariance_type, some_rows=some_rows)
        for one in config.select.candidates
        for _ in range(1 + config.select.n_folds)
    ]


def _facts(config: Config, source: Source, rows: Rows, n_sample: int, memory: Memory) -> dict[str, str]:
    needs = needs_of(rows, config)
    kept = "kept in memory" if needs.rows_held else "streamed from the source at each pass"
    return {
        "source": source.description,
        "rows": f"{' x '.join(f'{size:,}' for size in rows.grid)} = {rows.n_rows:,}",
        "features": f"{rows.n_features} ({rows.array.dtype})",
        "chunks": f"{needs.n_chunks} of at most {needs.largest_chunk / _MIB:.2f} MiB",
        "tasks": f"{needs.n_tasks} in each pass",
        "sample": f"{n_sample:,} rows, about {memory.sample / _MIB:.0f} MiB while it is fitted",
        "rows in memory": f"{needs.rows_held / _MIB:.1f} MiB over all workers ({kept})",
        "memory": f"{memory.per_computer / _MIB:.1f} MiB for each of {config.cluster.compute_threads} threads that "
        f"compute, {memory.per_reader / _MIB:.1f} MiB for each of {_n_threads(config)} that read",
        "peak memory": f"at most {memory.peak / _MIB:.0f} MiB in each process, "
        f"{_PROCESS / _MIB:.0f} MiB of it for libraries",
    }


def _text(facts: dict[str, str]) -> str:
    return "\n".join(f"{name + ':':16s}{value}" for name, value in facts.items())


def peak_memory(config: Config, source: Source) -> int:
    """Return the bytes that a process of the job takes at most."""
    rows = rows_of(source, config.compute)
    return memory_of_process(config, source, rows, needs_of(rows, config)).peak


def needs_of(rows: Rows, config: Config) -> Estimate:
    """Return what a pass over the rows takes."""
    return estimate(rows, config.compute.persist, config.model.n_components, config.model.covariance_type)


def memory_of_process(config: Config, source: Source, rows: Rows, needs: Estimate) -> Memory:
    """Return what a process of the job takes at most; rows that are held are spread evenly over processes."""
    compute_threads = config.cluster.compute_threads
    results = bytes_of_results(rows, config)
    sample = _sample_bytes(config, rows, _MIXTURE_COPIES * needs.mixture)
    held = -(-needs.rows_held // config.cluster.n_processes)
    picture = _PICTURE_COPIES * rows.n_bytes if source.is_image else 0
    per_thread = needs.per_thread + _READ_COPIES * _excess_of_stored_chunk(source, rows)
    working = _n_threads(config) * (per_thread + results) + compute_threads * needs.per_slot  # slots are lent
    working += FAN_IN * needs.mixture  # statistics that wait to be added up
    return Memory(needs.per_thread, needs.per_slot + results, sample, _PROCESS + held + working + sample + picture)


def _excess_of_stored_chunk(source: Source, rows: Rows) -> int:
    """Return by how many bytes a chunk of the store exceeds one of ours: the whole of it is decoded for a part."""
    stored = source.stored_chunks
    if not stored:
        return 0
    n_rows = max(stored[0]) if isinstance(stored[0], tuple) else prod(int(size) for size in stored)
    row_bytes = rows.n_features * rows.array.dtype.itemsize
    return max(min(n_rows, rows.n_rows) - max(rows.block_sizes), 0) * int(row_bytes)


def _n_threads(config: Config) -> int:
    computing = config.cluster.compute_threads
    return computing + n_reading_ahead(config.compute.read_ahead, computing)


def _n_sample(config: Config, rows: Rows) -> int:
    return min(config.fit.n_sample(config.model, rows.n_features), rows.n_rows)


def _sample_bytes(config: Config, rows: Rows, mixtures: int) -> int:
    """Return what the sample takes with restarts that run on the first part of it at the same time, or with moves."""
    n_sample, n_restarts = _n_sample(config, rows), min(config.fit.n_init, config.cluster.compute_threads)
    n_moving = how_many_moved(n_restarts, config.fit.n_finalists, n_sample)
    drawn = _DRAWN_COPIES * n_sample * rows.n_features * int(rows.array.dtype.itemsize)
    points = heat_rows(n_sample) * (_POINT_COPIES * rows.n_features + _DISTANCES) * 8
    return drawn + max(n_restarts * (points + mixtures), n_moving * (_MOVING * n_sample + mixtures))
