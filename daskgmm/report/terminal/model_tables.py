"""A fitted model as tables on a terminal."""

from __future__ import annotations

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from ...core.em.fitted_model import FitSummary, Model
from ...core.mixture.mixture import Mixture
from ...core.scoring.bhattacharyya import bhattacharyya_distances
from ...text import escape_text, pluralize, shorten_apart, two_digits, with_precision
from .split_table import split_table

_MAX_FEATURES = 8  # whose means are shown
_MAX_NAME_LENGTH = 22  # characters of a feature's name above its column
_MIN_OVERLAP = 5e-5  # that does not read as 0
_MAX_MULTIPLICATIONS = 2e10  # k^2 d^3 up to which the overlaps are computed: seconds


def inspection(model: Model, width: int = 80) -> RenderableType:
    """Format a fit and its components, the heaviest first, for a terminal of so many columns."""
    return Group(_facts(model), "", *_components(model, width), *_means(model, width), _legend(model))


def stop_lines(summary: FitSummary) -> list[str]:
    """Return why a fit stopped before it converged, nothing if it converged."""
    return [] if summary.converged else [summary.stop_reason]


def summary_line(summary: FitSummary) -> str:
    """Return the fit in one line."""
    return (
        f"log-likelihood {summary.log_likelihood:.6f} nats/row, BIC {summary.bic:,.3f} after "
        f"{pluralize(summary.n_iter + 1, 'pass')}; {summary.stop_reason}"
    )


def _facts(model: Model) -> Table:
    mixture, summary = model.mixture, model.summary
    total = summary.log_likelihood * summary.weight_sum
    table = Table(show_header=False, box=None)
    facts = {
        "mixture": f"{pluralize(mixture.n_components, 'component')}, {mixture.covariance_type} covariance, "
        f"{pluralize(model.n_features, 'feature')}, {pluralize(mixture.n_parameters, 'parameter')}",
        **reduction_facts(model),
        "rows (weight)": f"{summary.weight_sum:,.12g}",
        "log-likelihood": f"{summary.log_likelihood:.6f} nats/row, {total:,.3f} in all",
        "AIC, AICc, BIC, ICL": f"{summary.aic:,.3f}, {summary.aicc:,.3f}, {summary.bic:,.3f}, {summary.icl:,.3f}",
        "passes": f"{summary.n_iter + 1}; {escape_text(summary.stop_reason)}",
    }
    if model.posterior is not None:
        facts["evidence lower bound"] = f"{summary.evidence_lower_bound:,.3f} nats"
        facts["components in use"] = f"{model.posterior.n_in_use(summary.weight_sum)} of {len(model.mixture.weights)}"
    if summary.empty_components:
        facts["empty components"] = ", ".join(map(str, summary.empty_components))
    if mixture.noise:
        facts["noise"] = f"density 1 / V, log V = {mixture.noise.log_volume:.6g}"
    if mixture.frozen:
        facts["frozen components"] = ", ".join(map(str, mixture.frozen))
    if model.anomaly:
        facts["anomalies"] = f"log-density below {model.anomaly.threshold:.6g}, quantile {model.anomaly.quantile:g}"
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def reduction_facts(model: Model) -> dict[str, str]:
    """Return the note on a model of principal components, whose likelihood and criteria are of the components."""
    if model.projection is None:
        return {}
    n = pluralize(model.projection.n_features, "principal component")
    return {"reduced to": f"{n} of the scaled features: log-likelihood, criteria and overlap are of the projection"}


def _components(model: Model, width: int) -> list[Table]:
    mixture = model.mixture
    nearest = _nearest(mixture)
    rows = [(str(one), *_size(model, mixture.weights[one]), *nearest[one]) for one in _heaviest_first(mixture)]
    if mixture.noise is not None:
        rows.append(("noise", *_size(model, mixture.noise.weight), "", ""))
    return split_table(("component", "weight", "expected rows", "nearest", "overlap"), rows, width)


def _size(model: Model, weight: float) -> tuple[str, str]:
    return f"{weight:.4f}", f"{weight * model.summary.weight_sum:,.0f}"


def _means(model: Model, width: int) -> list[Table]:
    """Return tables of the features' means, side by side as far as they fit into the width."""
    mixture = model.marginals
    deviations = np.sqrt(mixture.variances)
    names = shorten_apart(_names(model)[:_MAX_FEATURES], _MAX_NAME_LENGTH)
    rows = [
        (str(one), *(_mean(float(mixture.means[one, i]), float(deviations[one, i])) for i in range(len(names))))
        for one in _heaviest_first(mixture)
    ]
    return split_table(("component", *map(escape_text, names)), rows, width)


def _mean(mean: float, deviation: float) -> str:
    return f"{with_precision(mean, deviation)} ± {two_digits(deviation)}"


def _heaviest_first(mixture: Mixture) -> list[int]:
    return [int(component) for component in np.argsort(-mixture.weights, kind="stable")]


def _names(model: Model) -> tuple[str, ...]:
    return model.names


def _nearest(mixture: Mixture) -> list[tuple[str, str]]:
    """Return of each component the nearest other that has rows, and their overlap; nothing where it takes too long."""
    k, d = mixture.means.shape
    if k - len(mixture.empty) < 2 or k**2 * float(d) ** 3 > _MAX_MULTIPLICATIONS:
        return [("", "")] * k
    distances = bhattacharyya_distances(mixture, mixture)
    np.fill_diagonal(distances, np.inf)
    distances[:, list(mixture.empty)] = np.inf
    others = distances.argmin(axis=1)
    return [(str(other), _share(float(np.exp(-distances[one, other])))) for one, other in enumerate(others)]


def _share(overlap: float) -> str:
    return f"{overlap:.2g}" if overlap >= _MIN_OVERLAP else "0"


def _legend(model: Model) -> str:
    legend = (
        "expected rows: weight x all rows; overlap: with the nearest other component, from 0 to 1; mean ± standard "
        "deviation of each feature"
    )
    more = model.n_features - _MAX_FEATURES
    return f"{legend}; {more} more features are in model.zarr" if more > 0 else legend
