"""The option `reduce` of a model: principal components of the columns in place of the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from ...errors import ConfigurationError
from ...options import STRICT
from ..mixture.projection import Breadth

REDUCE_AND_MISSING = "missing values cannot be projected on principal components: fill them, or leave reduce out"


@dataclass(frozen=True)
class Reduce:
    """How many principal components of the scaled columns the mixture is fitted to: one of the two."""

    __pydantic_config__: ClassVar = STRICT

    features: Annotated[int, Ge(1)] | None = None
    """Number of principal components, fewer than columns."""
    variance: Annotated[float, Gt(0), Lt(1)] | None = None
    """Share of the variance of the scaled columns that the principal components hold, such as 0.999."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError unless one of both is given."""
        if (self.features is None) == (self.variance is None):
            raise ConfigurationError(
                "model.reduce takes one of features and variance: write {features: 50} or {variance: 0.999}"
            )

    @property
    def breadth(self) -> Breadth:
        """How many principal components are taken."""
        return Breadth(self.features, self.variance or 1.0)

    def most_features(self, n_columns: int) -> int:
        """Return the largest number of principal components of rows with n_columns columns."""
        return n_columns if self.features is None else self.features

    def check(self, n_columns: int) -> None:
        """Raise ConfigurationError if there are no fewer principal components than columns."""
        if self.features is not None and self.features >= n_columns:
            raise ConfigurationError(
                f"model.reduce asks for {self.features} principal components of {n_columns} columns: set features to "
                f"less than {n_columns}, or leave reduce out"
            )
