"""Run restarts on the sample, in parallel on the active scheduler, each in a compute slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from dask.delayed import Delayed, delayed

from ..core.em.e_step import Expectation
from ..core.em.loop import EMOptions, Suggest, Suggestion, Trial
from ..core.em.surrogate import propose_surrogate_step
from ..core.init.labelled_starts import restart_labelled
from ..core.init.split_merge import split_merge
from ..core.init.starts import (
    Restart,
    RestartResults,
    SeedOptions,
    distinct,
    first_stage,
    rank,
    restart,
    restart_seeds,
    start,
)
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from .map_reduce import compute, in_helped_slot

T = TypeVar("T")

_MORE_RESTARTS = 2  # times as many restarts, if all have collapsed


def run_restarts(sample: Delayed, options: SeedOptions, seed: int) -> RestartResults:
    """Run the restarts on the sample; return them, and the n_finalists best mixtures.

    All restarts run on a small part of the sample; the best of them go on to a larger part and then to the whole of it,
    where moves put right what EM cannot; the finalists are the best of them there.
    """
    second = delayed(first_stage, pure=False)(sample)
    first = delayed(first_stage, pure=False)(second)
    stages = _restart(first, options, seed)
    best = rank(stages)
    apart = distinct(stages)
    chosen = [trial for trial in apart if trial in rank(apart)[: options.n_moved]]
    trials = _move_components(second, options, chosen)
    if options.in_parts:
        trials = [*_move_components(sample, options, trials, options.n_finalists), *best]
    else:
        trials = rank(distinct([*trials, *best]))
    return RestartResults(tuple(best), tuple(trials[: options.n_finalists]))


def _restart(part: Delayed, options: SeedOptions, seed: int) -> list[Restart]:
    """Return restarts on a part of the sample, n_init of them, and others if all of these have collapsed.

    In few rows k-means may find parts from which EM leads to components of single rows alone.
    """
    seeds = restart_seeds(seed, (1 + _MORE_RESTARTS) * options.n_init)
    own, others = seeds[: options.n_init], seeds[options.n_init :]
    stages = _for_each(own, restart, part, options)
    if any(isinstance(one, Trial) and one.sound for one in stages):
        return stages
    near_rows = replace(options, init_params="random_from_data")
    return stages + _for_each(others, restart, part, near_rows)


def _for_each(
    seeds: Sequence[int], function: Callable[[Expectation, SeedOptions, int], T], part: Delayed, options: SeedOptions
) -> list[T]:
    """Return what the function makes of the part for each seed, in a task each, or if they are cheap in a single one.

    Threads that compute small arrays wait for each other's interpreter more than they compute.
    """
    each = [seeds] if options.cheap else [[one] for one in seeds]
    found = compute(*(delayed(in_helped_slot, pure=False)(_call_each, function, part, options, some) for some in each))
    return [one for some in found for one in some]


def _call_each(
    function: Callable[[Expectation, SeedOptions, int], T],
    part: Expectation,
    options: SeedOptions,
    seeds: Sequence[int],
) -> list[T]:
    return [function(part, options, seed) for seed in seeds]


def _move_components(
    part: Delayed, options: SeedOptions, trials: Sequence[Trial], n_moved: int | None = None
) -> list[Trial]:
    """Return the trials after moves on a part of the sample, the best first."""
    mixtures = [trial.mixture for trial in trials]
    (found,) = compute(delayed(in_helped_slot, pure=False)(split_merge, part, options, mixtures, n_moved))
    return rank(found)


def suggest_from(sample: Delayed, data_summary: DataSummary, options: EMOptions) -> Suggest:
    """Return the surrogate step, by EM on the sample, as a function of the statistics of a pass over all rows."""

    def suggest(trial: Trial, far: bool) -> Suggestion | None:
        evaluated = Trial(trial.mixture, statistics=trial.statistics)
        (found,) = compute(
            delayed(in_helped_slot, pure=False)(propose_surrogate_step, sample, data_summary, evaluated, options, far)
        )
        suggestion: Suggestion | None = found
        return suggestion

    return suggest


def run_labelled(sample: Delayed, options: SeedOptions, seed: int) -> RestartResults:
    """Return the restarts on a sample with labelled rows, whose components keep their numbers: no moves are made."""
    seeds = restart_seeds(seed, options.n_init)
    best = rank(_for_each(seeds, restart_labelled, sample, options))
    return RestartResults(tuple(best), tuple(best[: options.n_finalists]))


def starts(sample: Delayed, options: SeedOptions, seed: int) -> tuple[Mixture, ...]:
    """Return n_init mixtures of partitions of the sample, without any EM on it."""
    seeds = restart_seeds(seed, options.n_init)
    return tuple(_for_each(seeds, start, sample, options))
