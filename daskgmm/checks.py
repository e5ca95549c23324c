"""What is refused, and what is said, before a fit begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .core.options import ModelOptions
from .core.survey import Survey
from .errors import DataError
from .events import Listener, Notice


def check_fittable(survey: Survey, model: ModelOptions, names: Sequence[str] | None, listen: Listener) -> None:
    """Raise DataError where the surveyed rows cannot carry the model; tell of constant and duplicate columns."""
    if survey.n_rows < model.n_components:
        raise DataError(
            f"{survey.n_rows} rows of positive weight cannot be split into {model.n_components} components: "
            "decrease model.n_components"
        )
    if not np.isfinite(survey.scatter).all():
        raise DataError("values are too large for sums of their squares: rescale the columns")
    for column in survey.constant:
        if model.reg_covar == 0:
            raise DataError(
                f"{_name(names, column)} is constant and model.reg_covar is 0, so covariances are singular: drop it, "
                "or set reg_covar to 1e-6"
            )
        _tell(f"{_name(names, column)} is constant", model, listen)
    if model.covariance_type in {"full", "tied"}:
        for first, second in survey.duplicates:
            _tell(f"{_name(names, second)} is a linear copy of {_name(names, first)}, or nearly", model, listen)


def _tell(what: str, model: ModelOptions, listen: Listener) -> None:
    keeps = f"only model.reg_covar = {model.reg_covar:g} keeps covariances regular" if model.reg_covar else "beware"
    listen(Notice(f"{what}: {keeps}; consider dropping it"))


def _name(names: Sequence[str] | None, column: int) -> str:
    return f"column {column}" + (f" ({names[column]})" if names else "")
