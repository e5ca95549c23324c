"""A fitted model as a table: on a terminal, in a notebook, and as columns."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from rich.console import Console, RenderableType

from ..core.em.fitted_model import Model
from ..report.terminal.model_tables import inspection

_LINE_WIDTH = 100  # characters


@dataclass(frozen=True, eq=False, repr=False)
class ModelTable:
    """The components of a model and what is known of its fit; `print` shows it."""

    model: Model

    @property
    def columns(self) -> dict[str, Any]:
        """The components in their order: ``pandas.DataFrame(table.columns)``.

        component, weight, expected_rows (weight times all rows), and of each feature its mean and standard deviation.
        """
        mixture, names = self.model.marginals, self.model.names
        deviations = np.sqrt(mixture.variances)
        return {
            "component": np.arange(mixture.n_components),
            "weight": mixture.weights,
            "expected_rows": mixture.weights * self.model.summary.weight_sum,
            **{f"mean {name}": mixture.means[:, i] for i, name in enumerate(names)},
            **{f"std {name}": deviations[:, i] for i, name in enumerate(names)},
        }

    def __repr__(self) -> str:
        return as_text(inspection(self.model, _LINE_WIDTH))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def as_text(*parts: RenderableType) -> str:
    """Return tables and lines as a text of 100 columns."""
    out = io.StringIO()
    console = Console(file=out, width=_LINE_WIDTH, highlight=False, soft_wrap=True)
    for part in parts:
        console.print(part)
    return out.getvalue().rstrip("\n")
