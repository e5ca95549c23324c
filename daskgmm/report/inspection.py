"""A fitted model as tables on a terminal."""

from __future__ import annotations

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ..core.model import FitSummary, Model

_MOST_FEATURES = 8  # columns of means that fit on a terminal


def inspection(model: Model) -> RenderableType:
    """Return what is known of a fit and its components, the heaviest first."""
    return Group(_facts(model), "", _components(model))


def summary_line(summary: FitSummary) -> str:
    """Return the fit in one line."""
    return (
        f"log-likelihood {summary.log_likelihood:.6f} nats/row, BIC {summary.bic:,.3f} after {summary.n_iter} "
        f"iterations; {summary.stop_reason}"
    )


def _facts(model: Model) -> Table:
    mixture, summary = model.mixture, model.summary
    total = summary.log_likelihood * summary.weight_sum
    table = Table(show_header=False, box=None)
    facts = {
        "mixture": f"{mixture.n_components} components, {mixture.covariance_type} covariance, "
        f"{mixture.n_features} features, {mixture.n_parameters} parameters",
        "rows (weight)": f"{summary.weight_sum:,.12g}",
        "log-likelihood": f"{summary.log_likelihood:.6f} nats/row, {total:,.3f} in all",
        "AIC, BIC, ICL": f"{summary.aic:,.3f}, {summary.bic:,.3f}, {summary.icl:,.3f}",
        "iterations": f"{summary.n_iter}; {_shown(summary.stop_reason)}",
    }
    if summary.empty_components:
        facts["empty components"] = ", ".join(map(str, summary.empty_components))
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _components(model: Model) -> Table:
    mixture = model.mixture
    names = tuple(map(_shown, model.feature_names or (f"x{i}" for i in range(mixture.n_features))))
    deviations = np.sqrt(mixture.structure.variances(mixture.covariances, mixture.means.shape))
    table = Table("component", "weight", *names[:_MOST_FEATURES], caption=_left_out(names), caption_justify="left")
    for component in np.argsort(-mixture.weights, kind="stable"):
        cells = (
            f"{mean:.4g} ± {deviation:.3g}"
            for mean, deviation in zip(mixture.means[component], deviations[component], strict=True)
        )
        table.add_row(str(component), f"{mixture.weights[component]:.4f}", *list(cells)[:_MOST_FEATURES])
    return table


def _shown(text: str) -> str:
    """Return a stored text as it is, neither rich's markup nor a terminal's control characters acting."""
    return escape("".join(one if one.isprintable() else "?" for one in text))


def _left_out(names: tuple[str, ...]) -> str:
    shown = "mean ± standard deviation of each feature"
    more = len(names) - _MOST_FEATURES
    return f"{shown}; {more} more features are in model.zarr" if more > 0 else shown
