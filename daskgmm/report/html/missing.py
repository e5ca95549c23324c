"""Missing values of the sampled rows: by column and component, their patterns, and whether they are random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from ...core.arrays.types import Array
from .report_data import ReportData

_MAX_FEATURES, _MAX_PATTERNS, _MAX_WARNED = 12, 8, 3
_SIGNIFICANCE = 1e-3  # chance of such a difference between components, for all columns together
# Difference between the arcsines of the shares that is worth a notice: Cohen's h (1988) of a small effect.
_MIN_EFFECT = 0.2


def missing_values(data: ReportData) -> dict[str, Any] | None:
    """Return the table of missing values that the template shows, None if none are missing."""
    gaps = np.isnan(data.stored_rows)
    if not gaps.any():
        return None
    columns = _worst_columns(gaps, data.row_weights)
    shares = _shares(gaps, _resp(data))
    rows = [
        (int(component), data.colours[component], [_percent(share) for share in shares[component, columns]])
        for component in data.shown_components
    ]
    everywhere = np.average(gaps, axis=0, weights=data.row_weights)[columns]
    return {
        "features": [data.names[i] for i in columns],
        "all": [_percent(share) for share in everywhere],
        "rows": rows,
        "patterns": _patterns(data, gaps),
    }


def not_at_random(data: ReportData) -> Iterator[tuple[str, str]]:
    """Yield a warning if how often columns are missing differs between components, with the evidence."""
    gaps = np.isnan(data.stored_rows)
    if not gaps.any():
        return
    resp = _resp(data)
    present = resp.sum(axis=0) >= 1
    if present.sum() < 2:
        return
    shares, counts = _shares(gaps, resp)[present], resp.sum(axis=0)[present]
    mean = np.average(shares, axis=0, weights=counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.nan_to_num(counts @ ((shares - mean) ** 2 / (mean * (1 - mean))))
    effects, freedom = np.ptp(2 * np.arcsin(np.sqrt(shares.clip(0, 1))), axis=0), len(counts) - 1
    is_large = (chdtrc(freedom, statistics) * gaps.shape[1] < _SIGNIFICANCE) & (effects > _MIN_EFFECT)
    worst = np.flatnonzero(is_large)[np.argsort(-statistics[is_large])][:_MAX_WARNED]
    if len(worst):
        columns = (
            f"{data.names[i]} {_percent(shares[:, i].min())} to {_percent(shares[:, i].max())} "
            f"(chi-square {statistics[i]:.1f})"
            for i in worst
        )
        yield (
            "Values may not be missing at random: the share of a component's sampled rows that miss them differs. "
            f"{', '.join(columns)}; degrees of freedom: {freedom}.",
            "If whether a value is missing depends on the value itself, means and imputed values are biased: compare "
            "with what is known of why it is missing.",
        )


def _resp(data: ReportData) -> Array:
    """Return the weighted responsibilities of the sampled rows, (m, k); 0 for rows without any value.

    The weights add up to the effective number of rows (Kish 1965), whatever their unit is.
    """
    some = ~np.isnan(data.stored_rows).all(axis=1)
    weights = data.row_weights * (data.row_weights.sum() / (data.row_weights**2).sum())
    weighted: Array = data.resp[:, : data.mixture.n_components] * (weights * some)[:, None]
    return weighted


def _shares(gaps: NDArray[np.bool_], resp: Array) -> Array:
    """Return the share of missing values of each column in each component, (k, d); NaN without rows."""
    counts = resp.sum(axis=0)
    shares: Array = np.where(counts > 0, (gaps.T @ resp) / np.where(counts > 0, counts, 1.0), np.nan).T
    return shares


def _worst_columns(gaps: NDArray[np.bool_], weights: Array) -> NDArray[np.intp]:
    """Return the columns with most missing values, in the order of the columns."""
    missing = weights @ gaps
    most = np.argsort(-missing, kind="stable")[:_MAX_FEATURES]
    return np.sort(most[missing[most] > 0])


def _patterns(data: ReportData, gaps: NDArray[np.bool_]) -> list[tuple[str, str]]:
    """Return the features that are most often missing together, and the share of rows in which they are."""
    patterns, inverse = np.unique(gaps, axis=0, return_inverse=True)
    weights = np.bincount(inverse.ravel(), data.row_weights)
    order = np.argsort(-weights, kind="stable")[:_MAX_PATTERNS]
    return [(_pattern(data, patterns[at]), _percent(weights[at] / weights.sum())) for at in order]


def _pattern(data: ReportData, pattern: NDArray[np.bool_]) -> str:
    missing = [data.names[i] for i in np.flatnonzero(pattern)]
    if not missing:
        return "nothing"
    if len(missing) == len(pattern):
        return "all features"
    more = f" and {len(missing) - _MAX_FEATURES} more" if len(missing) > _MAX_FEATURES else ""
    return ", ".join(missing[:_MAX_FEATURES]) + more


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"
