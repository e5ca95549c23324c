"""Mixtures of some of the features: marginals, and conditionals given values of others.

With o the given features and r the rest, the conditional of each component is normal,

    w_k|o  ~  w_k N(x_o | k)        A = Sigma_ro Sigma_oo^-1
    mu_r|o = mu_r + A (x_o - mu_o)  Sigma_r|o = Sigma_rr - A Sigma_or

The noise, uniform on a box, is uniform on the sides of it, whatever is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...errors import DataError
from ..arrays.types import Array
from .frame import Frame
from .mixture import Mixture


def feature_numbers(features: Sequence[Any], names: Sequence[str] | None, n_features: int) -> list[int]:
    """Return the numbers of features that are given by name or by number.

    Raises DataError if they are not a list of known features, each of which is given once.
    """
    if isinstance(features, str) or not isinstance(features, Iterable):
        raise DataError(f"features must be a list of names or numbers, got {features!r}: write [{features!r}]")
    known = {name: number for number, name in enumerate(names or ())}
    numbers = [known.get(one, one) if isinstance(one, str) else one for one in features]
    for one, number in zip(features, numbers, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < n_features:
            of = f"0 to {n_features - 1}" + (f" and {', '.join(names)}" if names else "")
            raise DataError(f"there is no feature {one!r}: the model has {of}")
    twice = [one for at, one in enumerate(features) if numbers[at] in numbers[:at]]
    if twice:
        raise DataError(f"feature {twice[0]!r} is given twice in {list(features)}: give each feature once")
    if not numbers:
        raise DataError("no feature is given: give the name or the number of one at least")
    return [int(number) for number in numbers]


def marginal(mixture: Mixture, features: Sequence[int]) -> Mixture:
    """Return the mixture of some of the features, in their order."""
    own = list(features)
    layout = mixture.structure.layout
    matrices = mixture.matrices().take_features(own)
    noise = mixture.noise and mixture.noise.take_features(own)
    return Mixture(layout.name, mixture.weights, mixture.means[:, own], layout.of_matrices(matrices), noise)


def condition(mixture: Mixture, features: Sequence[int], values: Array) -> Mixture:
    """Return the mixture of all other features given the values (m,) of these; raise DataError for unfit ones."""
    given = list(features)
    rest = [i for i in range(mixture.n_features) if i not in set(given)]
    if not rest:
        raise DataError(f"all {mixture.n_features} features are given: leave one out at least")
    if values.shape != (len(given),) or not np.isfinite(values).all():
        raise DataError(
            f"values must be {len(given)} finite numbers, one for each given feature, got {values.tolist()}"
        )
    known = marginal(mixture, given)
    difference = values - known.means
    log_weights = _log_weights(known, difference)
    means, matrices = mixture.matrices().given(given, rest, difference)
    layout = mixture.structure.layout
    noise = mixture.noise and mixture.noise.take_features(rest)
    means = mixture.means[:, rest] + means
    conditional = Mixture(layout.name, mixture.weights, means, layout.of_matrices(matrices), noise)
    return conditional.weigh(np.exp(log_weights - log_weights.max()))


def _log_weights(known: Mixture, difference: Array) -> Array:
    """Return log w_k p(x_o | k) of the components, and last that of the noise if there is any."""
    frame = Frame(np.zeros(known.n_features), np.sqrt(known.variances.mean(axis=0)))
    matrices = known.matrices(frame)
    squares = matrices.mahalanobis(difference / frame.scale)
    constant = known.n_features * np.log(2 * np.pi) + 2 * np.log(frame.scale).sum()
    with np.errstate(divide="ignore"):
        log_weights: Array = np.log(known.weights) - (constant + matrices.log_det() + squares) / 2
    return log_weights if known.noise is None else np.append(log_weights, known.noise.log_constant)
