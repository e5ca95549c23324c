"""Run restarts on the sample, in parallel on the active scheduler, each in a compute slot."""

from __future__ import annotations

from collections.abc import Sequence

from dask.delayed import Delayed, delayed

from ..core.em.loop import EMOptions, Suggest, Suggestion, Trial
from ..core.em.surrogate import suggested
from ..core.init.labelled_starts import restart_labelled
from ..core.init.split_merge import moved
from ..core.init.starts import Race, SeedOptions, distinct, heat, near_the_best, ranked, restart, restart_seeds, start
from ..core.mixture.data_summary import Survey
from ..core.mixture.mixture import Mixture
from .map_reduce import compute, in_slot


def run_restarts(sample: Delayed, options: SeedOptions, seed: int) -> Race:
    """Run the restarts on the sample; return them, and the n_finalists best mixtures.

    All restarts run on a small part of the sample; the best of them go on to a larger part and then to the whole of it,
    where moves put right what EM cannot; the finalists are the best of them there.
    """
    second = delayed(heat, pure=False)(sample)
    first = delayed(heat, pure=False)(second)
    seeds = restart_seeds(seed, options.n_init)
    heats = compute(*(delayed(in_slot, pure=False)(restart, first, options, one) for one in seeds))
    best = ranked(heats)
    apart = distinct(heats)
    chosen = [trial for trial in apart if trial in ranked(apart)[: options.n_moved]]
    leader, *rest = ranked(distinct(_moved(second, options, chosen)))
    trials = [*_moved(second, options, [leader], deep=True), *rest]
    if options.in_parts:
        trials = _moved(sample, options, near_the_best(ranked(distinct(trials)), options.n_finalists))
    others = [trial for trial in best if trial not in chosen]
    return Race(tuple(best), tuple(ranked(distinct(trials)) + others)[: options.n_finalists])


def _moved(part: Delayed, options: SeedOptions, trials: Sequence[Trial], *, deep: bool = False) -> list[Trial]:
    """Return the trials after moves on a part of the sample, in order."""
    found = compute(*(delayed(in_slot, pure=False)(moved, part, options, trial.mixture, deep) for trial in trials))
    return [one for one in found if isinstance(one, Trial)] or ranked(found)


def suggest_from(sample: Delayed, survey: Survey, options: EMOptions) -> Suggest:
    """Return what suggests, from the statistics of a pass over all rows, where they lead to: EM on the sample."""

    def suggest(trial: Trial, far: bool) -> Suggestion | None:
        evaluated = Trial(trial.mixture, statistics=trial.statistics)
        (found,) = compute(delayed(in_slot, pure=False)(suggested, sample, survey, evaluated, options, far))
        suggestion: Suggestion | None = found
        return suggestion

    return suggest


def run_labelled(sample: Delayed, options: SeedOptions, seed: int) -> Race:
    """Return the race on a sample with labelled rows, whose components keep their numbers: no moves are made."""
    seeds = restart_seeds(seed, options.n_init)
    found = compute(*(delayed(in_slot, pure=False)(restart_labelled, sample, options, one) for one in seeds))
    best = ranked(found)
    return Race(tuple(best), tuple(best[: options.n_finalists]))


def starts(sample: Delayed, options: SeedOptions, seed: int) -> tuple[Mixture, ...]:
    """Return n_init mixtures of partitions of the sample, without any EM on it."""
    seeds = restart_seeds(seed, options.n_init)
    return compute(*(delayed(in_slot, pure=False)(start, sample, options, one) for one in seeds))
