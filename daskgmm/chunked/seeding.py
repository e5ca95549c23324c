"""Restarts raced on the sample, in parallel on the active scheduler, each in a compute slot."""

from __future__ import annotations

import numpy as np
from dask.delayed import Delayed, delayed

from ..core.loop import EMOptions, Suggest, Suggestion
from ..core.mixture import Mixture
from ..core.moves import moved
from ..core.seeding import Race, SeedOptions, heat, ranked, restart, start
from ..core.statistics import Statistics
from ..core.surrogate import suggested
from ..core.survey import Survey
from .reduction import compute, in_slot

_MOVED = 2  # restarts, at least, that go on after the first heat: they run side by side


def race(sample: Delayed, options: SeedOptions, seed: int) -> tuple[Mixture, ...]:
    """Return the n_finalists best mixtures found on the sample, best first."""
    return raced(sample, options, seed).mixtures


def raced(sample: Delayed, options: SeedOptions, seed: int) -> Race:
    """Return the race for the n_finalists best mixtures on the sample.

    All restarts run on a small part of the sample; the best of them go on to a larger part and then to the whole of it,
    where moves put right what EM cannot; the finalists are the best of them there.
    """
    second = delayed(heat, pure=False)(sample)
    first = delayed(heat, pure=False)(second)
    heats = compute(*(delayed(in_slot, pure=False)(restart, first, options, one) for one in _seeds(options, seed)))
    best = ranked(heats)
    trials = best[: n_moved(options.n_finalists)]
    for part in (second, sample):
        moves = (delayed(in_slot, pure=False)(moved, part, options, trial.mixture) for trial in trials)
        trials = ranked(compute(*moves))
    return Race(tuple(best), tuple(trials[: options.n_finalists]))


def n_moved(n_finalists: int) -> int:
    """Return how many restarts go on to the whole sample."""
    return max(n_finalists, _MOVED)


def suggest_from(sample: Delayed, survey: Survey, options: EMOptions) -> Suggest:
    """Return what suggests, from the statistics of a pass over all rows, where they lead to: EM on the sample."""

    def suggest(mixture: Mixture, statistics: Statistics) -> Suggestion | None:
        (found,) = compute(delayed(in_slot, pure=False)(suggested, sample, survey, mixture, statistics, options))
        suggestion: Suggestion | None = found
        return suggestion

    return suggest


def starts(sample: Delayed, options: SeedOptions, seed: int) -> tuple[Mixture, ...]:
    """Return n_init mixtures of partitions of the sample, without any EM on it."""
    return compute(*(delayed(in_slot, pure=False)(start, sample, options, one) for one in _seeds(options, seed)))


def _seeds(options: SeedOptions, seed: int) -> list[int]:
    return [int(one) for one in np.random.SeedSequence(seed).generate_state(options.n_init)]
