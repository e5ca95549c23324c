"""What is refused, and what is said, before a job begins."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.arrays.naming import name_column
from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.low_rank import LABELS_AND_LOW_RANK, NO_MISSING
from ..core.options.fit import ModelOptions, check_inference
from ..core.options.prior import check_prior_values
from ..errors import ConfigurationError, DataError
from ..events import Listener, Notice
from .width import FitConditions, check_width


def check_model(model: ModelOptions, n_features: int, conditions: FitConditions) -> None:
    """Raise ConfigurationError for a model that rows of so many features cannot carry, whatever their values are."""
    check_inference(conditions.inference, model)
    if conditions.labelled and model.has_factors:
        raise ConfigurationError(LABELS_AND_LOW_RANK)
    check_prior_values(model.prior, n_features)
    check_features(model.family, n_features)
    check_width(model, n_features, conditions)


def check_fittable(
    data_summary: DataSummary, model: ModelOptions, names: Sequence[str] | None, listen: Listener
) -> None:
    """Raise DataError if the rows cannot carry the model; warn of constant and duplicate columns."""
    check_enough_rows(data_summary.n_rows, model.n_components)
    check_family(model.family, data_summary)
    for column in data_summary.constant:
        if model.reg_covar == 0:
            raise DataError(
                f"{name_column(names, column)} is constant and model.reg_covar is 0, so covariances are singular: "
                "drop it, or set reg_covar to 1e-6"
            )
        _warn_of_column(f"{name_column(names, column)} is constant", model, listen)
    if STRUCTURES[model.family].layout.dense:
        for first, second in data_summary.duplicates:
            _warn_of_column(
                f"{name_column(names, second)} is a linear copy of {name_column(names, first)}, or nearly",
                model,
                listen,
            )


def check_enough_rows(n_rows: int, n_components: int) -> None:
    """Raise DataError where fewer rows count than there are components."""
    if n_rows < n_components:
        raise DataError(
            f"{n_rows} rows of positive weight cannot be split into {n_components} components: decrease n_components"
        )


def check_family(covariance_type: str, data_summary: DataSummary) -> None:
    """Raise ConfigurationError if covariances of a type cannot be fitted to the rows of a data summary."""
    check_features(covariance_type, data_summary.n_features)
    if data_summary.has_gaps and STRUCTURES[covariance_type].layout.n_factors:
        raise ConfigurationError(NO_MISSING)


def check_features(covariance_type: str, n_features: int) -> None:
    """Raise ConfigurationError where a covariance type is for one feature and there are more."""
    if STRUCTURES[covariance_type].one_feature and n_features > 1:
        raise ConfigurationError(
            f"covariance_type {covariance_type} is for one feature, but there are {n_features}: "
            f"take {STRUCTURES[covariance_type].letters}, or another with three letters"
        )
    q = STRUCTURES[covariance_type].layout.n_factors
    if q >= n_features:
        raise ConfigurationError(
            f"covariance_type low_rank has {q} factors for {n_features} features: set n_factors to less than these, or "
            "take full"
        )


def report_mask(
    mask: object, data_summary: DataSummary, n_rows: int, listen: Listener, *, reduced: bool = False
) -> None:
    """Report how many of n_rows rows and missing values a mask leaves out; one that leaves out none may be misspelt.

    Of rows that are reduced to principal components missing values are not known.
    """
    if mask is None:
        return
    shown = f"[{', '.join(map(str, mask))}]" if isinstance(mask, tuple) else repr(mask)
    n_left_out = n_rows - data_summary.n_rows
    missing = (
        f", in which {data_summary.n_missing:,} values are missing (NaN)"
        if data_summary.n_missing and not reduced
        else ""
    )
    which = f"{n_left_out:,} of {n_rows:,} rows out{missing}" if n_left_out else "no row out"
    listen(Notice(f"data.mask {shown} leaves {which}"))


def check_same_features(names: Sequence[str] | None, fitted: Sequence[str] | None) -> None:
    """Raise DataError where the features of data to be scored have other names than those of the fit."""
    if names and fitted and tuple(names) != tuple(fitted):
        raise DataError(
            f"the data have the features {', '.join(names)}, but the model was fitted on {', '.join(fitted)}: "
            "name them in that order in data.columns or data.arrays"
        )


def _warn_of_column(what: str, model: ModelOptions, listen: Listener) -> None:
    keeps = f"only model.reg_covar = {model.reg_covar:g} keeps covariances regular" if model.reg_covar else "beware"
    listen(Notice(f"{what}: {keeps}; consider dropping it"))
