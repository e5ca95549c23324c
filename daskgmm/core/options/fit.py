"""The options of the model and of its fit; the configuration file has a section for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from ...errors import ConfigurationError, DataError
from ...options import STRICT
from ..em.loop import EMOptions
from ..init.starts import Given, InitParams, SeedOptions, first_stage_rows, n_moved_restarts, sample_size
from ..mixture.covariance import STRUCTURES, CovarianceType
from ..mixture.data_summary import DataSummary
from ..mixture.floor import DEFAULT_REG_COVAR, Floor
from ..mixture.low_rank import FACTOR_TYPES, FactorNoise, FactorType, low_rank_name
from ..mixture.mixture import Mixture, project
from ..mixture.noise import Noise
from .prior import InferenceName, Prior, check_prior, inference_of
from .reduce import Reduce

ComputeDtype = Literal["float64", "float32"]

_N_RESTARTS = 4
_N_RESTARTS_IF_CHEAP = 10  # of few rows the best of four is often not the best that there is
_CHEAP_PRODUCT = 10_000  # rows x features x components up to which a restart takes a tenth of a second or less
_WORK_OF_ONE_TASK = 500_000  # products of a pass over the sample up to which threads wait rather than compute


@dataclass(frozen=True)
class ModelOptions:
    """What is fitted."""

    __pydantic_config__: ClassVar = STRICT

    n_components: Annotated[int, Ge(1)] = 8
    """Number of Gaussians, k."""
    covariance_type: Literal[CovarianceType, FactorType] = "full"
    """full: each component its own matrix; tied: one for all; diag: own variances; spherical: one variance each.

    Or one of mclust's families, by the letters of volume, shape and orientation (E: equal, V: varying, I: identity).
    low_rank: noise of each feature and n_factors loadings, for many features.
    """
    reg_covar: Annotated[float, Ge(0)] = DEFAULT_REG_COVAR
    """Least variance of a component in any direction, in units of each feature's variance over all rows."""
    resolution: Literal["auto"] | Annotated[float, Ge(0)] | tuple[Annotated[float, Ge(0)], ...] = "auto"
    """Step of which values are multiples: step^2 / 12 is the least variance; auto finds it, 0 is none; or one each."""
    noise: bool | Annotated[float, Gt(0)] = False
    """Add a component of uniform density for rows that belong to no other: true, over the box of all rows; or volume V.

    With data.missing marginal: true, over the box of the columns that a row has.
    """
    frozen: tuple[Annotated[int, Ge(0)], ...] = ()
    """Components whose means and covariances stay as they are at the start, such as [0, 2]; their weights are fitted.
    """
    n_factors: Annotated[int, Ge(1)] | None = None
    """Number of factors q of covariance_type low_rank, fewer than features: each covariance is L L^T + noise."""
    factor_noise: FactorNoise = "own"
    """Noise of low_rank: own to component and feature; common to components; isotropic: one value per component."""
    prior: Prior = None
    """Prior of the parameters, for fit.inference map and variational: default, or values."""
    reduce: Reduce | None = None
    """Fit to principal components of the scaled columns: {features: 50}, or {variance: 0.999} of their variance."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for frozen components that there are not, or whose covariances are not their own.

        So for options of factors, or beside `reduce`, that cannot act.
        """
        self._check_factors()
        self._check_reduce()
        beyond = [one for one in self.frozen if not 0 <= one < self.n_components]
        if beyond or len(set(self.frozen)) < len(self.frozen):
            raise ConfigurationError(
                f"model.frozen {list(self.frozen)} must be different numbers from 0 to {self.n_components - 1}, "
                "those of components"
            )
        family = STRUCTURES[self.family]
        if 0 < len(self.frozen) < self.n_components and (family.shared or family.coupled):
            raise ConfigurationError(
                f"model.frozen {list(self.frozen)}: components of covariance_type {self.covariance_type} share parts "
                "of their covariances, so freeze all of them, or take full, diag or spherical"
            )

    def _check_factors(self) -> None:
        """Raise ConfigurationError for options of factors that cannot act."""
        if self.has_factors and self.n_factors is None:
            raise ConfigurationError(f"model.covariance_type {self.covariance_type} needs model.n_factors, such as 4")
        if isinstance(self.n_factors, bool):
            raise ConfigurationError(f"model.n_factors is {self.n_factors}, but must be a number, such as 4")
        if not self.has_factors and (self.n_factors is not None or self.factor_noise != "own"):
            raise ConfigurationError(
                f"model.n_factors and factor_noise are for covariance_type low_rank, not {self.covariance_type}: "
                "leave them out, or choose low_rank"
            )
        if self.has_factors and (self.noise is not False or self.frozen):
            name = "frozen" if self.frozen else "noise"
            raise ConfigurationError(
                f"model.{name} is not for covariance_type {self.covariance_type}: leave {name} out, or take another "
                "covariance_type"
            )

    def _check_reduce(self) -> None:
        """Raise ConfigurationError for options that are in units of the columns, if these are reduced."""
        if self.reduce is None:
            return
        if not isinstance(self.resolution, str):
            raise ConfigurationError(
                f"model.resolution {self.resolution} is of columns, but model.reduce takes principal components, which "
                "have no steps: leave one of both out"
            )
        if self.noise is not False and self.noise is not True:
            raise ConfigurationError(
                f"model.noise {self.noise} is a volume in units of columns, but model.reduce takes principal "
                "components: set noise to true, the box of all rows there"
            )
        if self.prior is not None:
            raise ConfigurationError("model.prior is of columns, so it is not for model.reduce: leave one of both out")

    @property
    def resolution_of_rows(self) -> Literal["auto"] | float | tuple[float, ...]:
        """The resolution of the rows that are fitted: principal components have none."""
        return self.resolution if self.reduce is None else 0.0

    def noise_of(self, data_summary: DataSummary) -> Noise | None:
        """Return the noise for rows of this data summary, whose weight is still to be chosen; None without any.

        Raises DataError if the box of the rows has no volume.
        """
        if self.noise is False:
            return None
        if self.noise is not True:
            return Noise(0.0, float(np.log(self.noise)))
        if data_summary.constant:
            raise DataError(
                f"model.noise is true, but the box of all rows has no volume, since column {data_summary.constant[0]} "
                "is constant: drop it, or give the hypervolume as a number"
            )
        return Noise.of_box(data_summary.minimum, data_summary.maximum)

    def adopt(self, mixture: Mixture, data_summary: DataSummary) -> Mixture:
        """Return a mixture that was not fitted with these options as one of theirs: floor, noise, frozen components."""
        mixture = replace(self.with_noise(mixture, data_summary), frozen=tuple(sorted(self.frozen)))
        return project(mixture, self.floor(data_summary))

    def with_noise(self, mixture: Mixture, data_summary: DataSummary) -> Mixture:
        """Return the mixture with the noise of rows of this data summary, in the weight that it has."""
        noise = self.noise_of(data_summary)
        if noise is not None and mixture.noise is not None:
            noise = replace(noise, weight=mixture.noise.weight)
        return replace(mixture, noise=noise)

    @property
    def has_factors(self) -> bool:
        """Whether the covariances have factors, so that n_factors and factor_noise act."""
        return self.covariance_type in FACTOR_TYPES

    @property
    def family(self) -> str:
        """The name of the family of covariances: low_rank_4 for low_rank with 4 factors."""
        if self.has_factors and self.n_factors is not None:
            return low_rank_name(self.n_factors, self.factor_noise)
        return self.covariance_type

    def floor(self, data_summary: DataSummary) -> Floor:
        """Return the least covariance of a component for rows of this data summary."""
        return Floor.of(data_summary, self.reg_covar, dense=STRUCTURES[self.family].layout.dense)


def check_inference(name: InferenceName, model: ModelOptions) -> None:
    """Raise ConfigurationError if a model cannot be fitted by an inference, or its prior cannot act there."""
    check_prior(name, model.prior, model.family)
    if name != "em" and model.reduce is not None:
        raise ConfigurationError(f"fit.inference is {name}, but model.reduce acts with em only: leave one of both out")
    if name != "em" and (model.noise is not False or model.frozen):
        raise ConfigurationError(
            f"fit.inference is {name}, but model.noise and model.frozen act with em only: leave them out"
        )


@dataclass(frozen=True)
class FitOptions:
    """How it is fitted."""

    __pydantic_config__: ClassVar = STRICT

    tol: Annotated[float, Ge(0)] = 1e-4
    """Stop when the estimated remaining gain of the mean log-likelihood is below this, in nats per row; 0: never."""
    max_iter: Annotated[int, Ge(1)] = 200
    """Maximum number of EM iterations over the full data."""
    n_init: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    """Restarts on the sample; the best continues. auto: 10 if rows x features x components are 10,000 at most, else 4.
    """
    init_params: InitParams = "kmeans"
    """How a restart partitions the sample: kmeans, k-means++, random or random_from_data."""
    sample_size: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    """Rows of the sample; auto takes 20 for each parameter, 100,000 at least, fewer of more than 1,342 features."""
    n_finalists: Annotated[int, Ge(1)] = 1
    """Number of restarts that continue on the full data, sharing each read of it."""
    random_state: Annotated[int, Ge(0)] = 0
    """Seed of the sample and the restarts; the same seed, data and chunks give the same model bit for bit."""
    start: str | None = None
    """Run directory whose model EM starts from, in place of restarts on the sample; or the path of a model.zarr."""
    dtype: ComputeDtype = "float64"
    """Precision of the products in the kernel; sums are float64 in any case."""
    inference: InferenceName = "em"
    """em: the most likely parameters; map: the mode of their posterior; variational: the posterior itself."""

    def em(self, model: ModelOptions, data_summary: DataSummary, *, accelerate: bool = True) -> EMOptions:
        """Return the options of the EM loop over rows of this data summary."""
        check_inference(self.inference, model)
        inference = inference_of(self.inference, model.prior, model.family, data_summary)
        return EMOptions(self.tol, self.max_iter, model.floor(data_summary), accelerate, inference)

    def seed_options(self, model: ModelOptions, data_summary: DataSummary, given: Given | None = None) -> SeedOptions:
        """Return the options of the starts; on the sample EM goes ten times closer to its limit than on all rows."""
        n_sample = min(self.n_sample(model, data_summary.n_features), data_summary.n_rows)
        n_init = self.n_restarts(model, n_sample, data_summary.n_features)
        n_columns = STRUCTURES[model.family].feature_map.n_columns(data_summary.n_features)
        return SeedOptions(
            model.n_components,
            model.family,
            self.init_params,
            n_init,
            min(self.n_finalists, n_init),
            n_moved_restarts(n_init, self.n_finalists, n_sample),
            first_stage_rows(n_sample) < n_sample,
            replace(self.em(model, data_summary), tol=self.tol / 10, max_iter=10 * self.max_iter),
            given or Given(),
            model.noise_of(data_summary),
            tuple(sorted(model.frozen)),
            n_sample * model.n_components * n_columns <= _WORK_OF_ONE_TASK,
        )

    def n_sample(self, model: ModelOptions, n_features: int) -> int:
        """Return the number of rows to sample."""
        if self.sample_size != "auto":
            return max(self.sample_size, model.n_components)
        return sample_size(model.n_components, n_features, model.family)

    def n_restarts(self, model: ModelOptions, n_sample: int, n_features: int) -> int:
        """Return the number of restarts on a sample of so many rows."""
        if self.n_init != "auto":
            return self.n_init
        return _N_RESTARTS_IF_CHEAP if n_sample * n_features * model.n_components <= _CHEAP_PRODUCT else _N_RESTARTS
