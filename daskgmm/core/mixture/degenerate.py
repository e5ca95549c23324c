"""Whether the likelihood of a mixture means something: components of few rows fit their noise, or have no bound at all.

A Gaussian fitted to m rows of d features has on new rows of its distribution a mean log-density that is lower than on
its own by

    p / (m - d - 2),     p = d (d + 3) / 2                              (the correction of AIC by Hurvich and Tsai 1989)

and this is without bound for m <= d + 2. Of it p / m is the same for all mixtures of a size, since components have the
weights m / N; the rest decides between mixtures whose components have few rows. So trials are compared by their
log-likelihood less

    p / (m - d - 1) - p / m

with m - d - 1, a little less than the above, so that the smallest components whose covariance is regular, of d + 2
rows, are still compared and not ruled out; its value at `_FEW_ROWS_FACTOR` times d + 1 rows is subtracted, and from
there on it is 0.
"""

from __future__ import annotations

import numpy as np

from ..arrays.types import Array
from .floor import Floor
from .mixture import Mixture

_FEW_ROWS_FACTOR = 6.0  # times the rows with which a covariance is regular
_FLOOR_FACTOR = 1.001  # times the floor
_ROUNDING = 0.01  # rows: responsibilities are not quite 0 or 1
_ROWS_PER_PARAMETER = 2.0  # that a component on the floor must have: one of many rows is a real group


def overfit(mixture: Mixture, n_rows: int, floor: Floor | None) -> tuple[float, int]:
    """Return by how much the log-likelihood of n_rows rows flatters the mixture, nats per row, and n_unsound.

    n_unsound is the number of components whose likelihood means nothing; by how much these flatter is unknown.
    """
    if mixture.structure.shared:
        return 0.0, 0
    n_regular, n_parameters = mixture.structure.per_component(mixture.n_features)
    counts, least = mixture.weights * n_rows, n_regular
    few = (counts < _FEW_ROWS_FACTOR * least) & (mixture.weights > 0)
    unsound = list(unsound_components(mixture, n_rows, floor))
    few[unsound] = False
    if not few.any():
        return 0.0, len(unsound)
    excess = _excess(counts[few], least) - _excess(np.array(_FEW_ROWS_FACTOR * least), least)
    return float((mixture.weights[few] * n_parameters * excess).sum()), len(unsound)


def _excess(counts: Array, least: int) -> Array:
    excess: Array = 1 / (counts - least) - 1 / counts
    return excess


def unsound_components(mixture: Mixture, n_rows: int, floor: Floor | None) -> tuple[int, ...]:
    """Return the numbers of the components whose likelihood means nothing.

    They have too few rows for a covariance of their own, or few and stand on the floor.
    """
    if mixture.structure.shared:
        return ()
    n_regular, n_parameters = mixture.structure.per_component(mixture.n_features)
    counts, present = mixture.weights * n_rows, mixture.weights > 0
    singular = present & (counts <= n_regular + _ROUNDING)
    narrow = present & (counts < _ROWS_PER_PARAMETER * n_parameters)
    if floor is not None and narrow.any():
        narrow &= np.isin(np.arange(len(counts)), on_floor(mixture, floor))
        singular |= narrow
    return tuple(int(component) for component in np.flatnonzero(singular))


def on_floor(mixture: Mixture, floor: Floor) -> tuple[int, ...]:
    """Return the numbers of the components that stand on the floor in some direction in which others are wider.

    A direction in which all are as narrow (a constant column, columns that are copies of each other) is none.
    """
    if mixture.structure.shared:
        return ()
    return tuple(c for c in range(mixture.n_components) if mixture.weights[c] > 0 and _stands(mixture, c, floor))


def _stands(mixture: Mixture, component: int, floor: Floor) -> bool:
    covariances = mixture.covariances[component]
    if mixture.structure.layout.n_factors:  # noise on the floor in some features is common, and no fault
        return bool((covariances[:, 0] <= _FLOOR_FACTOR * floor.noise).all())
    spread = mixture.variances
    if covariances.ndim < 2:
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = floor.variances if covariances.ndim else np.full_like(floor.variances, floor.variances.mean())
            low = spread[component] <= _FLOOR_FACTOR * bounds
        total = _total_variances(mixture, spread)
        return bool((low & (total > _FLOOR_FACTOR**2 * bounds)).any())
    try:
        ratios, directions = floor.relative(covariances)
    except np.linalg.LinAlgError:
        return True
    low = ratios <= _FLOOR_FACTOR
    if not low.any():
        return False
    dual = np.linalg.solve(directions.T, np.eye(len(directions)))[:, low]  # v_i . x with unit F for each direction
    total = _total(mixture)
    widths = np.linalg.eigvalsh(dual.T @ total @ dual) / np.linalg.eigvalsh(dual.T @ floor.matrix @ dual).max()
    return bool(widths.max() > _FLOOR_FACTOR**2)


def _total_variances(mixture: Mixture, spread: Array) -> Array:
    mean = mixture.shares @ mixture.means
    total: Array = mixture.shares @ (spread + (mixture.means - mean) ** 2)
    return total


def _total(mixture: Mixture) -> Array:
    """Return the covariance of the mixture, (d, d), of dense components."""
    shift = mixture.means - mixture.shares @ mixture.means
    within = np.einsum("k,kij->ij", mixture.shares, mixture.covariances)
    total: Array = within + (shift.T * mixture.shares) @ shift
    return total
