"""How rows that a model scores compare with those of its fit, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.em.fitted_model import Model
from ..core.scoring.drift import DensityMoments

_MAX_NAMED = 12  # components whose labels are counted in words
_BY_POSTERIOR = ", by expectations under the posterior and so not to be compared,"


def new_row_lines(counts: Sequence[int], n_rows: int, density: DensityMoments, model: Model) -> Iterator[str]:
    """Yield how many of n_rows each component labels, against its weight, and their mean log-density if it is known."""
    weights = model.mixture.weights
    if n_rows:
        order = np.argsort(-np.asarray(counts), kind="stable")[:_MAX_NAMED]
        named = "; ".join(_share(str(one), counts[one], n_rows, float(weights[one])) for one in order)
        more = f"; and {len(counts) - _MAX_NAMED} other components" if len(counts) > _MAX_NAMED else ""
        noise = model.mixture.noise
        of_noise = "" if noise is None else f"; {_share('noise', n_rows - sum(counts), n_rows, noise.weight)}"
        yield f"rows labelled {named}{more}{of_noise}"
    if density.n_rows:
        yield (
            f"mean log-density {density.mean:.6g} nats per row, standard error {density.standard_error:.2g}; that of "
            f"the fit{_BY_POSTERIOR if model.posterior is not None else ''} is {model.summary.log_likelihood:.6g}"
        )


def _share(name: str, count: int, n_rows: int, weight: float) -> str:
    return f"{name}: {count:,}, {100 * count / n_rows:.1f} percent (weight {100 * weight:.1f})"
