"""Two fits side by side as tables on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from ...core.em.fitted_model import Model
from ...text import escape_text, pluralize
from ..matched_components import CAPTION, HEADINGS, match_components
from .split_table import split_table


def comparison(first: Model, second: Model, names: tuple[str, str] = ("A", "B"), width: int = 100) -> RenderableType:
    """Format the differences between two fits; raise DataError if their features differ."""
    variation, rows = match_components(first, second)
    facts = Table(show_header=False, box=None)
    for letter, name, model in zip("AB", names, (first, second), strict=True):
        facts.add_row(letter, escape_text(name), _in_one_line(model))
    facts.add_row("", "weights", f"total variation {variation:.4f}")
    cells = [tuple(map(escape_text, row)) for row in rows]
    return Group(facts, "", *split_table(HEADINGS, cells, width, n_keys=2), CAPTION)


def _in_one_line(model: Model) -> str:
    mixture, summary = model.mixture, model.summary
    return (
        f"{pluralize(mixture.n_components, 'component')}, {mixture.covariance_type}; "
        f"log-likelihood {summary.log_likelihood:.6f} nats/row, BIC {summary.bic:,.3f}"
    )
