"""Components in two: what a split of each gains, and of pairs that are put together and split again.

Two components are fitted by a few steps of EM to rows that are drawn in proportion to the responsibility of what is
split. Rows that are only labelled with a component end where others begin, and seem to be two where they are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.loop import EMOptions
from ..mixture.covariance import STRUCTURES
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..scoring.bhattacharyya import bhattacharyya_distances
from .density_peak import densest_place
from .k_means import Labels
from .responsibilities import Responsibilities
from .splitting import mixtures_of_parts, short_runs
from .starts import SeedOptions, in_memory, rank, standardise, whiten

_SAME_COMPONENT = 3e-3  # Bhattacharyya distance of a component from one that is not halved again
_STEPS = 8  # of EM of the two halves
_TOL = 1e-3  # nats per row of what is split
_ROWS = 4_000  # at most (and 20 for each feature)
_SHARED = 1e-3  # of the rows: components that share less do not overlap


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
    mixture, splits = found.mixture, []
    means = np.array([one.whole.means[0] for one in known]).reshape(len(known), mixture.n_features)
    for component in range(mixture.n_components):
        if component in mixture.empty:
            continue
        whole = mixture.take([component])
        same = _among(known, whole, means)
        if same is None:
            split = _halve(found, (component,), floor)
        else:
            split = _with_gain(found, replace(same, components=(component,)))
        if split is not None:
            splits.append(split)
    return sorted(splits, key=lambda one: -one.gain)


def split_pairs_again(found: Responsibilities, floor: Floor | None, most: int) -> list[DrawnSplit]:
    """Return the pairs of components that overlap most, each split anew, with what is gained by it.

    Two broad components on one cluster, which holds a tight one too, are a plateau that EM does not leave.
    """
    shared = found.overlaps()
    order = np.argsort(-shared, axis=None, kind="stable")[: min(most, np.count_nonzero(shared >= _SHARED))]
    pairs = zip(*(numbers.tolist() for numbers in np.unravel_index(order, shared.shape)), strict=True)
    splits = (_halve(found, pair, floor) for pair in pairs)
    return sorted((one for one in splits if one is not None), key=lambda one: -one.gain)


def _among(known: Sequence[DrawnSplit], whole: Mixture, means: Array) -> DrawnSplit | None:
    """Return the halving of a component that is nearly the same, None if there is none; `means` (m, d) of those known.

    (mu_a - mu_b)^T S^-1 (mu_a - mu_b) / 8 is the least that their distance can be, and each feature's share of it less.
    """
    variances = whole.variances[0]
    apart = (means - whole.means[0]) ** 2 > 8 * _SAME_COMPONENT * 2 * variances
    near = (known[int(one)] for one in np.flatnonzero(~apart.any(axis=1)))
    return next((one for one in near if bhattacharyya_distances(one.whole, whole)[0, 0] < _SAME_COMPONENT), None)


def _halve(found: Responsibilities, components: tuple[int, ...], floor: Floor | None) -> DrawnSplit | None:
    """Return components in two; None if too few rows are theirs, or these have no width or no values.

    EM starts from the two sides of the widest axis of the rows, and from the densest place and what is around it.
    """
    drawn = _draw(found, components)
    if len(drawn) < 2 * (found.mixture.n_features + 1):
        return None
    part = _take(found.sample, drawn)
    if part.survey.without_value:
        return None
    whole = found.mixture.take(components)
    options = SeedOptions(2, whole.covariance_type, em=EMOptions(_TOL, _STEPS, floor))
    try:
        pair = rank(short_runs(part, options, mixtures_of_parts(part, options, _sides(part)), [_STEPS]))[0].mixture
    except SingularCovarianceError:
        return None
    return _with_gain(found, DrawnSplit(components, whole, pair, _gain_alone(found, part, components, options)))


def _gain_alone(found: Responsibilities, part: Expectation, components: tuple[int, ...], options: SeedOptions) -> float:
    """Return what is gained without a split, if all components share a covariance: by one of their own."""
    if len(components) > 1 or not STRUCTURES[options.covariance_type].shared:
        return 0.0
    one = mixtures_of_parts(part, replace(options, n_components=1), [np.zeros(len(part.rows), np.intp)])[0]
    return found.gain(components, one)


def _with_gain(found: Responsibilities, split: DrawnSplit) -> DrawnSplit:
    """Return the split with what it gains, less what more parameters gain on rows that they are fitted to.

    That is lost on other rows once more (Akaike 1973).
    """
    whole, share = split.whole, float(found.mixture.weights[list(split.components)].sum())
    n_rows = min(share * len(found.log_density), _most_rows(whole.n_features))
    n_more = (2 - len(split.components)) * (whole.n_features + 1 + whole.structure.n_parameters(1, whole.n_features))
    chance = share * n_more / max(n_rows, 1.0)
    return replace(split, gain=found.gain(split.components, split.pair) - split.gain_alone - chance)


def _sides(part: Expectation) -> list[Labels]:
    z = standardise(part)[0]
    axis = np.linalg.eigh(part.survey.pooled)[1][:, -1]
    sides = z @ axis > 0, densest_place(whiten(z, part.survey.pooled))
    return [side.astype(np.intp) for side in sides if side is not None]


def _draw(found: Responsibilities, components: tuple[int, ...]) -> NDArray[np.intp]:
    """Return rows in proportion to the responsibility of the components, each at most once; without any chance.

    One is taken wherever the sum of the responsibilities so far has passed a whole number.
    """
    sums = np.floor(np.cumsum(found.of_components(components)) + 0.5)
    return np.flatnonzero(np.diff(sums, prepend=0.0) > 0)[: _most_rows(found.mixture.n_features)]


def _most_rows(n_features: int) -> int:
    return max(_ROWS, 20 * (n_features + 1))


def _take(sample: Expectation, rows: NDArray[np.intp]) -> Expectation:
    row_weights = None if sample.row_weights is None else sample.row_weights[rows]
    return in_memory(sample.rows[rows], row_weights, sample.dtype)
