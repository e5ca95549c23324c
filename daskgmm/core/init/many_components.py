"""Exchanges in mixtures of many components, chosen by what splits gain and mergers lose on the rows of the sample.

EM of the whole mixture takes too long there to be tried on many of them. What their moments tell does not say which
are worth it: two components that lie upon each other seem to lose much by a merger, and lose nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import product

import numpy as np

from ...errors import SingularCovarianceError
from ..em.e_step import Expectation
from ..em.loop import Trial
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture, merge_pairs
from .drawn_splits import DrawnSplit, halve_components, split_pairs_again
from .exchanges import Merger, apply_exchanges, bound_mergers, disjoint
from .responsibilities import MAX_NUMBERS, Responsibilities
from .splitting import short_runs
from .starts import SeedOptions

_MERGER_ROWS = 5_000  # of the sample, on which mergers are compared
_MERGERS_PER_COMPONENT = 3  # for each component, whose loss is computed: those that their moments tell are the cheapest
_N_COMBINED = 20  # splits, and mergers, the best, of which all pairs are looked at
_RESP_COPIES = 3  # of the responsibilities of a mixture, while components are chosen
_GAIN_COPIES = 2  # of those of mergers, as they are scored
_MAX_TRIED = 4  # exchanges that are tried one by one
_MAX_REPEATS = 2  # of them with the same split, or the same merger
_N_SPLIT_AGAIN = 4  # pairs that are split again
_STAGE_STEPS = 4, 6  # steps of EM of the whole mixture, after which the worse half is given up


@dataclass(frozen=True, eq=False)
class Candidate:
    """Components in place of as many others, whose weight they share."""

    components: tuple[int, ...]  # the one that is split, and the one or two that are merged
    gain: float  # that is estimated without EM of the whole mixture, nats per row
    parts: tuple[object, object]  # which split, and which merger
    make: Callable[[], Mixture]  # the halves and the merged one, in any order; made when they are wanted

    @property
    def replacement(self) -> Mixture:
        """What takes the place of the components."""
        return self.make()


def try_exchanges(
    sample: Expectation, options: SeedOptions, mixture: Mixture, known: list[DrawnSplit]
) -> tuple[Trial, ...]:
    """Return the trials of a few steps of EM of the whole mixture from the exchanges that are the most promising.

    Those that are expected to gain, each of other components, are made together too. `known` are the components that
    were split before, to which those that are split now are added.
    """
    if mixture.n_components < 2:
        return ()
    try:
        ranked = rank_candidates(Responsibilities.of(sample, mixture), options.em.floor, known)
        starts = [apply_exchanges(mixture, made) for made in _choose(ranked)]
        return short_runs(sample, options, starts, _STAGE_STEPS) if starts else ()
    except (SingularCovarianceError, np.linalg.LinAlgError):
        return ()


def rank_candidates(found: Responsibilities, floor: Floor | None, known: list[DrawnSplit]) -> list[Candidate]:
    """Return exchanges, the most promising first by what they gain without any EM; split components join `known`."""
    splits = halve_components(found, floor, known)
    known += [one for one in splits if all(one.pair is not other.pair for other in known)]
    again = [_split_again(one) for one in split_pairs_again(found, floor, _N_SPLIT_AGAIN)]
    return sorted([*_combine(found, splits), *again], key=lambda one: -one.gain)


def bytes_of_exchanges(n_rows: int, n_components: int) -> int:
    """Return the most bytes that exchanges are chosen in, on a sample of so many rows."""
    of_mergers = _MERGERS_PER_COMPONENT * n_components * min(n_rows, _MERGER_ROWS)
    numbers = _RESP_COPIES * min(n_components * n_rows, MAX_NUMBERS) + _GAIN_COPIES * min(of_mergers, MAX_NUMBERS)
    return 8 * numbers


def _choose(ranked: Sequence[Candidate]) -> list[list[Candidate]]:
    """Return the exchanges that are made at once: those that gain without any EM, half of them, and the best alone."""
    gaining = disjoint(one for one in ranked if one.gain > 0)
    together = [gaining, gaining[: len(gaining) // 2]] if len(gaining) > 3 else [gaining]
    return [*(some for some in together if len(some) > 1), *([one] for one in vary(ranked)[:_MAX_TRIED])]


def vary(ranked: Iterable[Candidate]) -> list[Candidate]:
    """Return the exchanges in order, without those whose split or merger two others before have."""
    seen = Counter[object]()
    chosen = []
    for one in ranked:
        if all(seen[part] < _MAX_REPEATS for part in one.parts):
            chosen.append(one)
            seen.update(one.parts)
    return chosen


def _split_again(split: DrawnSplit) -> Candidate:
    return Candidate(split.components, split.gain, (split.components,) * 2, lambda: split.pair)


def _combine(found: Responsibilities, splits: Sequence[DrawnSplit]) -> list[Candidate]:
    """Return the splits with the mergers of two other components, or of a half if there are no two others."""
    mixture = found.mixture
    if mixture.n_components == 2:
        return [_regroup(found, split, half) for split in splits for half in (1, 2)]
    mergers = _compare_mergers(found)
    pairs = product(splits[:_N_COMBINED], mergers[:_N_COMBINED])
    return [
        _exchange(mixture, split, merger)
        for split, merger in pairs
        if split.components[0] not in (merger.first, merger.second)
    ]


def _exchange(mixture: Mixture, split: DrawnSplit, merger: Merger) -> Candidate:
    pair = merger.first, merger.second
    components = (*split.components, *pair)

    def make() -> Mixture:
        return mixture.take(components).merge(1, 2).replace([((0,), split.pair)])

    return Candidate(components, split.gain - merger.loss, (split.components, ("merged", *pair)), make)


def _regroup(found: Responsibilities, split: DrawnSplit, half: int) -> Candidate:
    """Return the exchange that splits one of two components and merges a half, 1 or 2, with the other."""
    components = (1 - split.components[0], *split.components)
    replacement = found.mixture.take(components).replace([((1,), split.pair)]).merge(0, half)
    return Candidate(components, found.gain(components, replacement), (split.components, half), lambda: replacement)


def _compare_mergers(found: Responsibilities) -> list[Merger]:
    """Return mergers, the cheapest first, by what the mixture loses on rows before any more EM."""
    mixture = found.mixture
    likely = nsmallest(_MERGERS_PER_COMPONENT * mixture.n_components, bound_mergers(mixture), key=lambda one: one.loss)
    pairs = sorted((one.first, one.second) for one in likely)
    rows = found.first(min(_MERGER_ROWS, max(MAX_NUMBERS // len(pairs), 1)))
    losses = -rows.gains(pairs, merge_pairs(mixture, pairs))
    mergers = (Merger(*pair, float(loss)) for pair, loss in zip(pairs, losses, strict=True))
    return sorted(mergers, key=lambda one: one.loss)
