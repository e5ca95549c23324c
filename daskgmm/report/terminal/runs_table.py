"""Many fits in one table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ...core.em.fitted_model import Model
from ...text import shown

_CAPTION = "smallest BIC first; criteria compare fits to the same rows and features, with the same weights"
_COLUMNS = ("k", "type", "rows (weight)", "nats/row", "BIC", "ICL", "converged")


def runs_table(models: Sequence[Model], names: Sequence[str]) -> Table:
    """Return the size, the log-likelihood, the criteria and the end of each fit, one in a row."""
    table = Table(box=None, caption=_CAPTION)
    table.caption_justify = "left"
    table.add_column("run", overflow="fold")
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for model, name in sorted(zip(models, names, strict=True), key=lambda one: one[0].summary.bic):
        mixture, summary = model.mixture, model.summary
        table.add_row(
            shown(name),
            str(mixture.n_components),
            mixture.covariance_type,
            f"{summary.weight_sum:,.10g}",
            f"{summary.log_likelihood:.5f}",
            f"{summary.bic:,.2f}",
            f"{summary.icl:,.2f}",
            "yes" if summary.converged else "no",
        )
    return table
