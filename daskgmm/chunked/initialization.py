"""Run restarts on the sample, in parallel on the active scheduler, each in a compute slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dask.delayed import Delayed, delayed

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
from .map_reduce import compute, in_slot

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
    stages: list[Restart] = list(compute(*(delayed(in_slot, pure=False)(restart, part, options, one) for one in own)))
    if any(isinstance(one, Trial) and one.sound for one in stages):
        return stages
    near_rows = replace(options, init_params="random_from_data")
    return stages + list(compute(*(delayed(in_slot, pure=False)(restart, part, near_rows, one) for one in others)))


def _move_components(
    part: Delayed, options: SeedOptions, trials: Sequence[Trial], n_moved: int | None = None
) -> list[Trial]:
    """Return the trials after moves on a part of the sample, the best first."""
    mixtures = [trial.mixture for trial in trials]
    (found,) = compute(delayed(in_slot, pure=False)(split_merge, part, options, mixtures, n_moved))
    return rank(found)


def suggest_from(sample: Delayed, data_summary: DataSummary, options: EMOptions) -> Suggest:
    """Return the surrogate step, by EM on the sample, as a function of the statistics of a pass over all rows."""

    def suggest(trial: Trial, far: bool) -> Suggestion | None:
        evaluated = Trial(trial.mixture, statistics=trial.statistics)
        (found,) = compute(
            delayed(in_slot, pure=False)(propose_surrogate_step, sample, data_summary, evaluated, options, far)
        )
        suggestion: Suggestion | None = found
        return suggestion

    return suggest


def run_labelled(sample: Delayed, options: SeedOptions, seed: int) -> RestartResults:
    """Return the restarts on a sample with labelled rows, whose components keep their numbers: no moves are made."""
    seeds = restart_seeds(seed, options.n_init)
    found = compute(*(delayed(in_slot, pure=False)(restart_labelled, sample, options, one) for one in seeds))
    best = rank(found)
    return RestartResults(tuple(best), tuple(best[: options.n_finalists]))


def starts(sample: Delayed, options: SeedOptions, seed: int) -> tuple[Mixture, ...]:
    """Return n_init mixtures of partitions of the sample, without any EM on it."""
    seeds = restart_seeds(seed, options.n_init)
    return compute(*(delayed(in_slot, pure=False)(start, sample, options, one) for one in seeds))
