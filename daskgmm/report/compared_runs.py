"""Many finished fits side by side, as texts that a terminal and a page show alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.em.fitted_model import Model
from ..provenance import Record

CAPTION = (
    "smallest BIC first; criteria compare fits to the same rows and features, with the same weights; rows: their total "
    "weight"
)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished fit and where it is."""

    name: str
    model: Model
    record: Record | None = None  # of its rows and its course; a model.zarr by itself has none


COLUMNS: dict[str, Callable[[Run], str]] = {
    "run": lambda run: run.name,
    "k": lambda run: str(run.model.mixture.n_components),
    "type": lambda run: run.model.mixture.covariance_type + ("" if run.model.mixture.noise is None else "+noise"),
    "BIC": lambda run: f"{run.model.summary.bic:,.2f}",
    "nats/row": lambda run: f"{run.model.summary.log_likelihood:.5f}",
    "ICL": lambda run: f"{run.model.summary.icl:,.2f}",
    "rows": lambda run: f"{run.model.summary.weight_sum:,.10g}",
    "passes": lambda run: f"{run.model.summary.n_iter + 1:,}",
    "converged": lambda run: "yes" if run.model.summary.converged else "no",
}
"""What is shown of each run, by heading."""


def rank_runs(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, that of the smallest BIC first."""
    return sorted(runs, key=lambda run: run.model.summary.bic)


def table_rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return the cells of each run under the headings of COLUMNS."""
    return [tuple(cell(run) for cell in COLUMNS.values()) for run in runs]


def why_incomparable(runs: Sequence[Run]) -> list[str]:
    """Return sentences on why the criteria of runs cannot be compared with each other; none if they can.

    Rows are the same if their weights and ranges agree: chunks may differ, and a run without a record has no ranges.
    """
    ranges = {_range_of(run.record) for run in runs if run.record is not None}
    weights = {f"{run.model.summary.weight_sum:.9g}" for run in runs}
    checks = (
        (len({run.model.n_features for run in runs}) > 1, "they are over different numbers of features"),
        (len({run.model.names for run in runs if run.model.feature_names}) > 1, "their features have different names"),
        (len({_components_of(run.model) for run in runs}) > 1, "they are of different principal components"),
        (len(weights) > 1 or len(ranges) > 1, "they were fitted to different rows"),
    )
    reasons = [reason for differs, reason in checks if differs]
    return [f"The criteria of these runs cannot be compared: {reasons[0]}."] if reasons else []


def _range_of(record: Record) -> bytes:
    """Return the smallest and the largest value of each feature, as rows of float32 and float64 have them alike."""
    beginning = record.beginning
    return np.stack([beginning.minimum, beginning.maximum]).astype(np.float32).tobytes()


def _components_of(model: Model) -> bytes:
    """Return the identity of a projection; empty for a fit to the features themselves."""
    return b"" if model.projection is None else model.projection.axes.tobytes()
