"""A report of a fitted estimator: the page that a job writes, from rows that are given again."""

from __future__ import annotations

from datetime import UTC, datetime
from numbers import Integral
from typing import Any

from ..chunked.data_summary import first_rows, summarise_and_sample
from ..core.em.fitted_model import Model
from ..fitting.data_info import describe_data
from ..provenance import Record, RunInfo, TrialHistory, package_versions
from ..report.html.page import page
from ..report.html.report_data import ReportData


def draw_report(estimator: Any, X: Any, sample_weight: Any, n_rows: int) -> str:
    """Return the report of an estimator's fit as HTML, with at most n_rows of the rows X; one pass over them."""
    model: Model = estimator._model()
    rows = estimator._scored_rows(X, sample_weight)
    data_summary, sample = summarise_and_sample(rows, n_rows, seed=0, resolution=0.0)
    kept, weights = first_rows(sample, n_rows)
    description = f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"
    info = describe_data(description, rows, data_summary, kept, weights)
    return page(
        ReportData(model, Record(info, _course(estimator)), _configuration(estimator), _seed(estimator), of_run=False)
    )


def _course(estimator: Any) -> RunInfo:
    """Return the record of an estimator's fit: its log-likelihoods."""
    curve = TrialHistory("rows", tuple(estimator.lower_bounds_), chosen=True)
    drawn = datetime.now(UTC).isoformat(timespec="seconds")
    return RunInfo((curve,), (), (), (), "", drawn, package_versions())


def _configuration(estimator: Any) -> str:
    return "".join(f"{name}: {value!r}\n" for name, value in sorted(estimator.get_params().items()))


def _seed(estimator: Any) -> int | None:
    return int(estimator.random_state) if isinstance(estimator.random_state, Integral) else None
