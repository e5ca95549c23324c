"""Exchanges that are tried by EM of the components near them alone, while all others stay as they are.

With p_n the density of row n, r_n the responsibility of the components that go, and w their weight, EM of those that
come, of which q_n is the density, maximises

    mean of log((1 - r_n) p_n + w q_n)

(Ueda, Nakano, Ghahramani and Hinton 2000, partial EM). On all rows each of its steps raises the log-likelihood of the
whole mixture, so what an exchange gains at least is known after steps that cost k^2 / m^2 times less than steps of all
k components, if m of them and the rows near these take part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ...concurrency import map_helped
from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.loop import EMOptions, StopReason
from ..em.short_runs import bytes_of_short_runs, can_run, knows_family, run_short
from ..em.surrogate import CHEAP_ROWS
from ..mixture.covariance import STRUCTURES
from ..mixture.degenerate import overfit
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from .drawn_splits import DrawnSplit
from .exchanges import apply_exchanges, disjoint
from .many_components import Candidate, rank_candidates, vary
from .responsibilities import Responsibilities
from .starts import SeedOptions, count_parameters, first_stage_rows

_MIN_TRIED, _MAX_TRIED = 6, 20  # exchanges, and half as many as there are components between these
_N_EXCHANGED = 3  # components: one that is split, and two that are merged
_N_NEIGHBOURS = 2  # components that overlap most with those of an exchange, and move with them
_MIN_OVERLAP = 1e-3  # of the rows of an exchange: components that share less with it do not move with it
_RANK_ROWS = 25_000  # at least, on which exchanges are ranked: the last, since EM has seen the first for longer
_TOL = 1e-5  # nats per row that is near
_FIRST_STEPS, _LAST_STEPS = 16, 8  # on some of the rows that are near, and of the better half of the exchanges on all
_FIRST_RESP, _LAST_RESP = 0.05, 1e-3  # rows of which the components have less are left out of these steps
_FIRST_ROWS, _FIRST_ROWS_PER_PARAMETER = 4_000, 20  # of those rows, at most
_N_RETURNED = 2  # mixtures
_SINGULAR = SingularCovarianceError, np.linalg.LinAlgError


@dataclass(frozen=True, eq=False)
class Improved:
    """Components in place of as many others, after EM of them alone."""

    components: tuple[int, ...]
    replacement: Mixture
    gain: float  # of the log-likelihood less overfit, with all others as they are, nats per row of the sample
    remaining_gain: float  # estimated, still to come; infinite while nothing can be said


def can_improve(sample: Expectation, mixture: Mixture, options: SeedOptions) -> bool:
    """Return whether exchanges are tried so: the compiled runs know the family, and there are rows to save."""
    compiled = can_run(sample, mixture, options.em) and not mixture.structure.shared
    return compiled and mixture.n_components > 2 and len(sample.rows) > CHEAP_ROWS


def improve_exchanges(
    sample: Expectation, options: SeedOptions, mixture: Mixture, known: list[DrawnSplit], least: float
) -> list[Mixture]:
    """Return the mixtures after exchanges that are expected to gain more than half of `least`, nats per row.

    The first is that after all exchanges of different components together that have gained it, or else after the best.
    `known` are the components that were split before, to which those that are split now are added.
    """
    floor = options.em.floor
    try:
        found = Responsibilities.of(sample, mixture)
        ranked = rank_candidates(found.last(max(_RANK_ROWS, first_stage_rows(len(sample.rows)))), floor, known)
    except _SINGULAR:
        return []
    n = _count_tried(mixture.n_components)
    tried = _begin(found, vary(ranked)[:n], floor)
    ended = _finish(found, _choose(tried, _count_ended(n)), floor)
    expected = _rank([one for one in ended if one.gain + one.remaining_gain > least / 2])
    together = disjoint(one for one in expected if one.gain > least / 2)
    made = [*([together] if len(together) > 1 else []), *([one] for one in expected)]
    return [apply_exchanges(mixture, some) for some in made[:_N_RETURNED]]


def _begin(found: Responsibilities, exchanges: Sequence[Candidate], floor: Floor | None) -> list[Improved]:
    """Return exchanges after EM of their components and neighbours on some of the rows; those not singular."""
    overlaps = found.overlaps
    overlaps = overlaps + overlaps.T
    em = EMOptions(_TOL, _FIRST_STEPS, floor)

    def begin(one: Candidate) -> Improved | None:
        components = (*one.components, *_neighbours(found.mixture, overlaps, one.components))
        start = found.mixture.take(components).replace([(range(len(one.components)), one.replacement)])
        with suppress(*_SINGULAR):
            return run_partial_em(found, components, start, em, _FIRST_RESP, _count_first_rows(start.n_parameters))
        return None

    return _regular(map_helped(begin, exchanges, _least_work(found.mixture)))


def _neighbours(mixture: Mixture, overlaps: Array, components: Sequence[int]) -> list[int]:
    """Return the components that overlap most with some; `overlaps` (k, k) are shares of the rows, symmetric."""
    shared = overlaps[list(components)].sum(axis=0)
    shared[list(components)] = 0
    nearest = np.argsort(-shared, kind="stable")[:_N_NEIGHBOURS]
    kept: list[int] = nearest[shared[nearest] > _MIN_OVERLAP * mixture.weights[list(components)].sum()].tolist()
    return kept


def _choose(tried: Sequence[Improved], n: int) -> list[Improved]:
    """Return the n exchanges that gain most, if they gain anything; those that can be made together come first."""
    promising = _rank([one for one in tried if one.gain > 0])
    apart = disjoint(promising)
    return [*apart, *(one for one in promising if one not in apart)][:n]


def _finish(found: Responsibilities, promising: Sequence[Improved], floor: Floor | None) -> list[Improved]:
    """Return exchanges after EM on all rows that are near; those not singular."""
    em = EMOptions(_TOL, _LAST_STEPS, floor)

    def finish(one: Improved) -> Improved | None:
        with suppress(*_SINGULAR):
            return run_partial_em(found, one.components, one.replacement, em, _LAST_RESP, None)
        return None

    return _regular(map_helped(finish, promising, _least_work(found.mixture)))


def _least_work(mixture: Mixture) -> int:
    """Return how much a step of a run is at least, as `map_helped` counts it."""
    return _FIRST_ROWS * (_N_EXCHANGED + _N_NEIGHBOURS) * mixture.feature_map.n_columns(mixture.n_features)


def bytes_of_partial_em(n_rows: int, n_components: int, n_features: int, covariance_type: str, n_threads: int) -> int:
    """Return the most bytes that runs take which threads make at once; 0 for families without such runs.

    All rows of the sample may be near each of them.
    """
    m, structure, n = _N_EXCHANGED + _N_NEIGHBOURS, STRUCTURES[covariance_type], _count_tried(n_components)
    if structure.shared or not knows_family(structure):
        return 0
    n_first = min(_count_first_rows(count_parameters(covariance_type, m, n_features)), n_rows)
    first = min(n_threads, n) * bytes_of_short_runs(n_first, n_features)
    return max(first, min(n_threads, _count_ended(n)) * bytes_of_short_runs(n_rows, n_features))


def _count_tried(n_components: int) -> int:
    return min(max(n_components // 2, _MIN_TRIED), _MAX_TRIED)


def _count_ended(n_tried: int) -> int:
    """Return how many exchanges go on to all rows that are near, of so many that were tried."""
    return (n_tried + 1) // 2


def _count_first_rows(n_parameters: int) -> int:
    """Return on how many rows exchanges of components with so many parameters are tried first, at most."""
    return max(_FIRST_ROWS, _FIRST_ROWS_PER_PARAMETER * n_parameters)


def _regular(improved: Iterable[Improved | None]) -> list[Improved]:
    return [one for one in improved if one is not None]


def _rank(ended: Sequence[Improved]) -> list[Improved]:
    return sorted(ended, key=lambda one: -one.gain)


def run_partial_em(
    found: Responsibilities,
    components: tuple[int, ...],
    start: Mixture,
    em: EMOptions,
    min_resp: float,
    max_rows: int | None,
) -> Improved:
    """Run EM from a start in place of some components, while all others stay as they are.

    Rows take part for which the components have more than `min_resp` of the responsibility: all of them, or max_rows
    that are spread over all. Raises SingularCovarianceError for a singular start, and where a component ends with too
    few rows for a covariance, which EM would not give it back.
    """
    near = np.flatnonzero(found.of_components(components) > min_resp)
    step = 1 if max_rows is None else max(-(-len(near) // max_rows), 1)
    near = near[::step]
    if not len(near):
        return Improved(components, start, 0.0, 0.0)
    sample, log_share = found.sample, np.log(found.share(components))
    rest = found.log_rest(components, near, exact=True)
    (trial,) = run_short(sample.take(near), [start], em, [em.max_iter], rest - log_share)
    shares = step * found.shares[near]
    total = float(shares.sum())
    gain = total * (trial.history[-1] + log_share) - float(shares @ found.log_density[near])
    gain -= _more_overfit(found, components, trial.mixture, em.floor)
    remaining = 0.0 if trial.stop is StopReason.CONVERGED else total * trial.remaining_gain
    return Improved(components, trial.mixture, gain, remaining)


def _more_overfit(found: Responsibilities, components: tuple[int, ...], other: Mixture, floor: Floor | None) -> float:
    """Return by how much more the log-likelihood flatters others in place of some components, nats per row.

    Raises SingularCovarianceError if more of them are empty, or have too few rows for a covariance.
    """
    share, own = found.share(components), found.mixture.take(components)
    n_rows = int(share * len(found.log_density))
    (before, n_before), (after, n_after) = (overfit(one, n_rows, floor) for one in (own, other))
    if n_after + len(other.empty) > n_before + len(own.empty):
        raise SingularCovarianceError("a component has too few rows")
    return share * (after - before)
