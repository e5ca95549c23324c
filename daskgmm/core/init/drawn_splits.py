"""Components in two: what a split of each gains, and of pairs that are put together and split again.

Two components are fitted by a few steps of EM to rows that are drawn in proportion to the responsibility of what is
split. Rows that are only labelled with a component end where others begin, and seem to be two where they are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...concurrency import map_helped
from ...errors import SingularCovarianceError
from ..em.e_step import Expectation
from ..em.loop import EMOptions
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from .responsibilities import Responsibilities, rank_overlaps
from .splitting import find_same, first_of, fit_pair, mixtures_of_parts, most_split_rows
from .starts import SeedOptions

_SAME_DISTANCE = 3e-3  # Bhattacharyya distance of a component from one that is not halved again


@dataclass(frozen=True, eq=False)
class DrawnSplit:
    """One or two components, and two in their place."""

    components: tuple[int, ...]
    whole: Mixture  # these components, as a mixture of their own
    pair: Mixture
    gain_alone: float = 0.0  # of other parameters without a split
    gain: float = 0.0  # nats per row of the sample, less what chance adds


def halve_components(
    found: Responsibilities, floor: Floor | None, known: Sequence[DrawnSplit] = ()
) -> list[DrawnSplit]:
    """Return the components in two, those whose split gains most first.

    A component that is one of those `known`, or nearly, is not halved again.
    """
    mixture = found.mixture
    means = np.array([one.whole.means[0] for one in known]).reshape(len(known), mixture.n_features)

    def halve(component: int) -> DrawnSplit | None:
        whole = mixture.take([component])
        same = find_same(known, whole, means, _SAME_DISTANCE)
        if same is None:
            return _halve(found, (component,), floor)
        return _with_gain(found, replace(same, components=(component,)))

    components = [one for one in range(mixture.n_components) if one not in mixture.empty]
    return _rank(map_helped(halve, components, _most_work(mixture)))


def split_pairs_again(found: Responsibilities, floor: Floor | None, most: int) -> list[DrawnSplit]:
    """Return the pairs of components that overlap most, each split again, with what is gained by it.

    Two broad components on one cluster, which holds a tight one too, are a plateau that EM does not leave.
    """
    pairs = rank_overlaps(found.overlaps)[:most]
    return _rank(map_helped(lambda pair: _halve(found, pair, floor), pairs, _most_work(found.mixture)))


def _most_work(mixture: Mixture) -> int:
    """Return how much a step of EM of two halves is at most, as `map_helped` counts it."""
    return most_split_rows(mixture.n_features) * 2 * mixture.feature_map.n_columns(mixture.n_features)


def _rank(splits: Iterable[DrawnSplit | None]) -> list[DrawnSplit]:
    return sorted((one for one in splits if one is not None), key=lambda one: -one.gain)


def _halve(found: Responsibilities, components: tuple[int, ...], floor: Floor | None) -> DrawnSplit | None:
    """Return components in two; None if too few rows are theirs, or these have no width or no values."""
    drawn = _draw(found, components)
    if len(drawn) < 2 * (found.mixture.n_features + 1):
        return None
    part = first_of(found.sample, drawn)
    if part.data_summary.without_value:
        return None
    whole = found.mixture.take(components)
    try:
        pair = fit_pair(part, whole.covariance_type, floor).mixture
    except SingularCovarianceError:
        return None
    return _with_gain(found, DrawnSplit(components, whole, pair, _gain_alone(found, part, components, floor)))


def _gain_alone(found: Responsibilities, part: Expectation, components: tuple[int, ...], floor: Floor | None) -> float:
    """Return the gain of a component's own covariance without a split, if all components share one."""
    if len(components) > 1 or not found.mixture.structure.shared:
        return 0.0
    options = SeedOptions(1, found.mixture.covariance_type, em=EMOptions(floor=floor))
    one = mixtures_of_parts(part, options, [np.zeros(len(part.rows), np.intp)])[0]
    return found.gain(components, one)


def _with_gain(found: Responsibilities, split: DrawnSplit) -> DrawnSplit:
    """Return the split with what it gains, less what more parameters gain on rows that they are fitted to.

    That is lost on other rows once more (Akaike 1973).
    """
    whole, share = split.whole, float(found.mixture.weights[list(split.components)].sum())
    n_rows = min(share * len(found.log_density), most_split_rows(whole.n_features))
    n_more = (2 - len(split.components)) * (whole.n_features + 1 + whole.structure.n_parameters(1, whole.n_features))
    chance = share * n_more / max(n_rows, 1.0)
    return replace(split, gain=found.gain(split.components, split.pair) - split.gain_alone - chance)


def _draw(found: Responsibilities, components: tuple[int, ...]) -> NDArray[np.intp]:
    """Return rows in proportion to the responsibility of the components, each at most once; without any chance.

    One is taken wherever the sum of the responsibilities so far has passed a whole number.
    """
    sums = np.floor(np.cumsum(found.of_components(components)) + 0.5)
    return np.flatnonzero(np.diff(sums, prepend=0.0) > 0)
