"""How rows that a model scores compare with those of its fit, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.em.fitted_model import Model
from ..core.scoring.drift import DensityMoments

_MAX_NAMED = 12  # components whose labels are counted in words


def new_row_lines(counts: Sequence[int], n_rows: int, density: DensityMoments, model: Model) -> Iterator[str]:
    """Yield how many of n_rows each component labels, against its weight, and their mean log-density if it is known."""
    weights = model.mixture.weights
    if n_rows:
        order = np.argsort(-np.asarray(counts), kind="stable")[:_MAX_NAMED]
        named = "; ".join(
            f"{one}: {counts[one]:,}, {100 * counts[one] / n_rows:.1f} percent (weight {100 * float(weights[one]):.1f})"
            for one in order
        )
        more = f"; and {len(counts) - _MAX_NAMED} other components" if len(counts) > _MAX_NAMED else ""
        yield f"rows labelled {named}{more}"
    if density.n_rows:
        yield (
            f"mean log-density {density.mean:.6g} nats per row, standard error {density.standard_error:.2g}; that of "
            f"the fit is {model.summary.log_likelihood:.6g}"
        )
