"""Many fits in one table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from ...core.em.fitted_model import Model
from ...text import shown
from .split_table import split_table

_CAPTION = "smallest BIC first; criteria compare fits to the same rows and features, with the same weights"
_HEADINGS = ("run", "k", "type", "rows (weight)", "nats/row", "BIC", "ICL", "converged")


def runs_table(models: Sequence[Model], names: Sequence[str], width: int = 100) -> RenderableType:
    """Return the size, the log-likelihood, the criteria and the end of each fit for that many columns, one in a row."""
    ranked = sorted(zip(models, names, strict=True), key=lambda one: one[0].summary.bic)
    rows = [_row(model, name) for model, name in ranked]
    return Group(*split_table(_HEADINGS, rows, width, box=None), _CAPTION)


def _row(model: Model, name: str) -> tuple[str, ...]:
    mixture, summary = model.mixture, model.summary
    return (
        shown(name),
        str(mixture.n_components),
        mixture.covariance_type,
        f"{summary.weight_sum:,.10g}",
        f"{summary.log_likelihood:.5f}",
        f"{summary.bic:,.2f}",
        f"{summary.icl:,.2f}",
        "yes" if summary.converged else "no",
    )
