"""A saved model that scores rows by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.em.fitted_model import Model
from ..storage.formats.model import load_model as load_plain_model
from .bayesian_mixture import BayesianGaussianMixture
from .gaussian_mixture import GaussianMixture
from .summary import ModelTable


@dataclass(frozen=True, eq=False, repr=False)
class SavedModel(Model):
    """A fitted mixture with its context, and the methods of an estimator for rows X of any kind that one takes."""

    @classmethod
    def from_model(cls, model: Model) -> SavedModel:
        """Return the model with the methods of an estimator."""
        return cls(**{field.name: getattr(model, field.name) for field in fields(model)})

    @cached_property
    def estimator(self) -> GaussianMixture:
        """The model as an estimator."""
        kind = GaussianMixture if self.posterior is None else BayesianGaussianMixture
        return kind.from_model(self)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, (n,) or (...,)."""
        return self.estimator.predict(X)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each component for each row, (n, k) or (..., k)."""
        return self.estimator.predict_proba(X)

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of each row, (n,) or (...,), in nats."""
        return self.estimator.score_samples(X)

    def table(self) -> ModelTable:
        """Return the components with their weights, means and standard deviations as a table."""
        return ModelTable(self)


def load_model(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> SavedModel:
    """Return the fitted model in a run directory, or in a model.zarr.

    Parameters
    ----------
    path : str or Path
        The run directory or the model.zarr; a path, or a URL of fsspec.
    storage_options : mapping, optional
        Options of the file system of a URL, such as credentials.

    Raises
    ------
    DataError
        If there is no model, if it is damaged, or if it has a format version that is not known.
    """
    model = load_plain_model(path, storage_options)
    return SavedModel.from_model(model)
