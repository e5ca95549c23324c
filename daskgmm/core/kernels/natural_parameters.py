"""A mixture made ready for a pass: natural parameters, or whitened own centres where those lose precision.

In the frame's coordinates z, with P_k = Sigma_k^-1 and m_k the mean,

    log w_k N(x|k) = c_k + (P_k m_k) . z - z^T P_k z / 2,
    c_k = log w_k - m_k^T P_k m_k / 2 - log det(2 pi Sigma_k) / 2           (Sigma_k of x: densities are those of x)

The terms of this sum cancel. Where rows of a component lie, |z_i| <= a_i = |m_ki| + sqrt(Sigma_kii), the terms have
the sizes t_ij = a_i |P_kij| a_j. The coefficients are rounded one by one, so that their errors add up as squares, to
about eps sqrt(sum_ij t_ij^2) in every log-density. Nor is a covariance estimated from sums of z z^T worse: its error
relative to Sigma_kii is eps a_i^2 / Sigma_kii <= eps t_ii. Above `MAX_ERROR` the kernels with own centres take over.
(What is rounded while a row's terms are added up differs from row to row, and is lost in the sums over rows.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import ConfigurationError
from ..arrays.types import Array
from ..mixture.data_summary import DataSummary
from ..mixture.feature_map import FeatureMap, pack_coefficients
from ..mixture.frame import Frame
from ..mixture.low_rank import NO_MISSING
from ..mixture.matrices import Matrices
from ..mixture.mixture import Mixture
from ..mixture.noise import VOLUME_AND_MISSING
from ..mixture.statistics import Statistics
from . import compiled as kernels
from . import missing_compiled, missing_e_step, missing_prediction, own_centres, pattern_compiled
from .few_columns import expect_few, predict_few, runs_in_few
from .low_rank import LowRank, prepare_low_rank
from .many_columns import expect_many, predict_many, runs_in_many
from .missing import Pattern, missing_terms, take_terms

MAX_ERROR = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 3e-5}
MAX_ERROR_WITH_GAPS = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 3e-5}  # what fills them cancels once more
_LOG_ZERO = -1e30  # log weight of an empty component: finite, so that it stays out of every product as a number
_FLUSH = {np.dtype(np.float64): np.log(1e-30), np.dtype(np.float32): np.log(1e-20)}  # above the denormals of each type
_ROWS_OF_PATTERN = 1  # for each feature: from so many rows on a pattern has a pass of its own


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The components in the coordinates of a frame."""

    means: Array  # (k, d)
    covariances: Matrices
    whitening: Matrices  # W, lower triangular, with W^T W = precision
    log_constants: Array  # (k,), log w_k - log det(2 pi Sigma_k) / 2, Sigma_k of x
    noise: Array  # (1,), log(w / V) of the noise, or (0,) without any
    noise_box: Array | None = None  # (2, d), lowest and highest corner of the noise, if it has a box

    @classmethod
    def of(cls, mixture: Mixture, frame: Frame) -> Gaussians:
        """Return the mixture's components in the frame; raise SingularCovarianceError where a density has no bound."""
        d = mixture.n_features
        covariances = mixture.matrices(frame)
        whitening, log_det = covariances.whiten()
        log_det_x = log_det + 2 * np.log(frame.scale).sum()
        with np.errstate(divide="ignore"):
            log_weights = np.maximum(np.log(mixture.weights), _LOG_ZERO)
        log_constants = log_weights - (d * np.log(2 * np.pi) + log_det_x) / 2
        noise = [] if mixture.noise is None else [max(mixture.noise.log_constant, _LOG_ZERO)]
        box = None if mixture.noise is None or mixture.noise.box is None else frame.to_z(np.array(mixture.noise.box))
        return cls(frame.to_z(mixture.means), covariances, whitening, log_constants, np.array(noise), box)

    @cached_property
    def precisions(self) -> Matrices:
        """Sigma_k^-1 in the frame's coordinates."""
        return self.whitening.gram()

    @property
    def cancellation(self) -> float:
        """Largest sqrt(sum_ij t_ij^2) over the components: by how much the terms of a log-density exceed 1."""
        return self.precisions.largest_term(np.abs(self.means) + np.sqrt(self.covariances.diagonals))


@dataclass(frozen=True, eq=False)
class FeatureMapParams:
    """A mixture for the kernels with a shared centre: Theta (k, F) over one feature map; a constant row is noise."""

    frame: Frame
    feature_map: FeatureMap
    theta: NDArray[np.floating]
    has_noise: bool = False  # whether the last row is that of the noise
    missing: missing_compiled.MissingTerms | None = None  # if rows may have missing values

    def expect(self, rows: NDArray[np.floating], row_weights: Array | None) -> Statistics:
        return expect_together((self,), rows, row_weights)[0]

    def predict(self, rows: NDArray[np.floating], outputs: kernels.OutputBuffers) -> None:
        wide = predict_many if runs_in_many(self.args, self.theta) else kernels.predict_shared
        predict = predict_few if runs_in_few(self.theta) else wide
        predict(rows, self.args, self.theta, outputs)

    def expected_joint(self, sums: Array) -> float:
        """Return sum_n sum_k r_nk log(w_k N(x_n|k)), which is linear in the statistics."""
        return float(np.vdot(self.theta, sums))

    @property
    def zero(self) -> Statistics:
        """The statistics of no rows."""
        k, n_columns = self.theta.shape
        return Statistics.zero(k, n_columns, centred=False)

    def take(self, component: int) -> FeatureMapParams:
        """Return the coefficients of one component, with its weight."""
        own = slice(component, component + 1)
        missing = None if self.missing is None else take_terms(self.missing, own)
        return replace(self, theta=self.theta[own], has_noise=False, missing=missing)

    def expect_missing(self, rows: NDArray[np.floating], row_weights: Array | None, gaps: Pattern) -> Statistics:
        """Return the statistics of the rows of a block that miss some values.

        Rows of frequent patterns take the pattern form, others the fill form; the choice is by the rows alone. A form
        that no row takes is not called: a first fit would compile it.
        """
        weights = kernels.NO_WEIGHTS if row_weights is None else row_weights
        if self.feature_map is not FeatureMap.FULL:
            return self._expect_diagonal(rows, weights, gaps)
        order, edges, others = gaps.split(_ROWS_OF_PATTERN * rows.shape[1])
        frequent = self._expect_patterns(rows, weights, order, edges) if len(order) else self.zero
        if not len(others):
            return frequent
        return frequent + self._expect_filled(rows[others], weights if row_weights is None else weights[others])

    def _expect_patterns(
        self, rows: NDArray[np.floating], weights: Array, order: NDArray[np.intp], edges: NDArray[np.intp]
    ) -> Statistics:
        """Return the statistics of runs of rows that miss the same values."""
        sums, log_likelihood, expected, weight_sum = pattern_compiled.expect_patterns(
            rows, weights, order, edges, self.args, self.theta, self.missing
        )
        return Statistics(sums, log_likelihood, log_likelihood - expected, weight_sum, centred=False)

    def _expect_filled(self, rows: NDArray[np.floating], weights: Array) -> Statistics:
        """Return the statistics of rows, sorted by how many values they miss, that are filled one by one."""
        found = missing_e_step.expect_shared_missing(rows, weights, self.args, self.theta, self.missing)
        sums, missing_sums, log_likelihood, correction, weight_sum = found
        entropy = log_likelihood - float(np.vdot(self.theta, sums)) - correction
        return Statistics(sums + missing_sums, log_likelihood, entropy, weight_sum, centred=False)

    def _expect_diagonal(self, rows: NDArray[np.floating], weights: Array, gaps: Pattern) -> Statistics:
        """Return the statistics of rows with missing values if covariances are diagonal, by counts of these."""
        assert self.missing is not None
        precisions, means = self.missing.precisions[0].T, (self.missing.gradients / self.missing.precisions[0]).T
        of_missing = self.missing.constants.T + (precisions * means**2 - np.log(precisions)) / 2
        theta = np.ascontiguousarray(np.concatenate([self.theta, of_missing], axis=1), dtype=self.theta.dtype)
        args = self.args._replace(tile=kernels.tile_rows(theta.shape[1]))
        sums, log_likelihood, weight_sum = pattern_compiled.expect_diagonal(rows, weights, gaps.partial, args, theta)
        entropy = log_likelihood - float(np.vdot(theta, sums))
        d = rows.shape[1]
        counts, sums = sums[:, -d:], sums[:, :-d].copy()
        squares = counts * (means**2 + 1 / precisions)
        sums[:, 1 : 1 + d] += counts * means
        sums[:, 1 + d :] += (
            squares if self.feature_map is FeatureMap.DIAGONAL else (squares @ self.frame.isotropy_weights)[:, None]
        )
        return Statistics(sums, log_likelihood, entropy, weight_sum, centred=False)

    def predict_missing(
        self, rows: NDArray[np.floating], outputs: kernels.OutputBuffers, filled: missing_compiled.Filled
    ) -> None:
        missing_prediction.predict_shared_missing(rows, self.args, self.theta, self.missing, outputs, filled)

    @property
    def args(self) -> kernels.KernelArgs:
        return _kernel_args(self.frame, self.feature_map, self.theta.shape[1], self.theta.dtype)


@dataclass(frozen=True, eq=False)
class CentredParams:
    """A mixture for the kernels with own centres; the noise is a component whose whitening is 0."""

    frame: Frame
    feature_map: FeatureMap
    mixture: own_centres.Centred
    has_noise: bool = False  # whether the last component is the noise
    missing: missing_compiled.MissingTerms | None = None  # if rows may have missing values

    def expect(self, rows: NDArray[np.floating], row_weights: Array | None) -> Statistics:
        weights = kernels.NO_WEIGHTS if row_weights is None else row_weights
        n_columns = self.feature_map.n_columns(self.frame.n_features)
        sums, log_likelihood, weight_sum = own_centres.expect_centred(rows, weights, self.args, self.mixture, n_columns)
        entropy = log_likelihood - self.expected_joint(sums)
        return Statistics(sums, log_likelihood, entropy, weight_sum, centred=True)

    def predict(self, rows: NDArray[np.floating], outputs: kernels.OutputBuffers) -> None:
        own_centres.predict_centred(rows, self.args, self.mixture, outputs)

    def expect_missing(self, rows: NDArray[np.floating], row_weights: Array | None, gaps: Pattern) -> Statistics:
        """Return the statistics of the rows of a block that miss some values."""
        own = gaps.by_number
        weights = kernels.NO_WEIGHTS if row_weights is None else row_weights[own]
        n_columns = self.feature_map.n_columns(self.frame.n_features)
        sums, missing_sums, log_likelihood, expected, weight_sum = missing_e_step.expect_centred_missing(
            rows[own], weights, self.args, self.mixture, n_columns, self.missing
        )
        entropy = log_likelihood - expected
        return Statistics(sums + missing_sums, log_likelihood, entropy, weight_sum, centred=True)

    def predict_missing(
        self, rows: NDArray[np.floating], outputs: kernels.OutputBuffers, filled: missing_compiled.Filled
    ) -> None:
        missing_prediction.predict_centred_missing(rows, self.args, self.mixture, self.missing, outputs, filled)

    def expected_joint(self, sums: Array) -> float:
        """Return sum_n sum_k r_nk log(w_k N(x_n|k)), which is linear in the statistics."""
        whitening, constants = self.mixture.whitening.astype(float), self.mixture.constants.astype(float)
        if self.feature_map is FeatureMap.FULL:
            quadratic = -np.swapaxes(whitening, 1, 2) @ whitening / 2
        else:
            quadratic = -(whitening[:, 0, :] ** 2) / 2
        linear = np.zeros(self.mixture.means.shape)
        coefficients = _pack(self.feature_map, constants, linear, quadratic, self.frame)
        return float(np.vdot(coefficients, sums))

    @property
    def zero(self) -> Statistics:
        """The statistics of no rows."""
        n_columns = self.feature_map.n_columns(self.frame.n_features)
        return Statistics.zero(len(self.mixture.constants), n_columns, centred=True)

    def take(self, component: int) -> CentredParams:
        """Return the coefficients of one component, with its weight."""
        own = slice(component, component + 1)
        missing = None if self.missing is None else take_terms(self.missing, own)
        mixture = own_centres.Centred(*(part[own] for part in self.mixture))
        return replace(self, mixture=mixture, has_noise=False, missing=missing)

    @property
    def args(self) -> kernels.KernelArgs:
        d = self.frame.n_features
        return _kernel_args(self.frame, self.feature_map, d, self.mixture.means.dtype)


Coefficients = FeatureMapParams | CentredParams | LowRank


def expect_together(
    mixtures: Sequence[FeatureMapParams], rows: NDArray[np.floating], row_weights: Array | None
) -> tuple[Statistics, ...]:
    """Return the statistics of mixtures over one feature map: phi is built once, and their products are one."""
    weights = kernels.NO_WEIGHTS if row_weights is None else row_weights
    thetas = [one.theta for one in mixtures]
    theta = thetas[0] if len(thetas) == 1 else np.concatenate(thetas)
    edges = np.cumsum([0, *map(len, thetas)])
    args = mixtures[0].args
    wide = expect_many if runs_in_many(args, theta) else kernels.expect_shared
    expect = expect_few if runs_in_few(theta) else wide
    sums, log_likelihoods, weight_sum = expect(rows, weights, args, theta, edges)
    parts = zip(thetas, np.split(sums, edges[1:-1]), log_likelihoods.tolist(), strict=True)
    return tuple(
        Statistics(own, log_likelihood, log_likelihood - float(np.vdot(one, own)), weight_sum, centred=False)
        for one, own, log_likelihood in parts
    )


def check_regular(mixture: Mixture, frame: Frame) -> None:
    """Raise SingularCovarianceError unless every covariance is positive definite beyond rounding."""
    mixture.matrices(frame).check()


def prepare(
    mixture: Mixture, data_summary: DataSummary, dtype: DTypeLike = np.float64, *, some_rows: bool = False
) -> Coefficients:
    """Return the mixture's coefficients for a pass over the rows of the data summary, computed in `dtype`.

    Where all components share their covariance, the quadratic term is common to all and enters as its mean over the
    rows, -tr(P S) / 2N: wrong row by row, right in the sum over all rows. With `some_rows` the sum may be over
    some of them only: then the structure takes the full map, whose statistics hold the scatter of just these rows.
    So it does with noise, which has no such term, and if values are missing, whose part of the scatter depends on the
    mixture.
    """
    frame, structure = data_summary.frame, mixture.structure
    if structure.layout.n_factors:
        return prepare_low_rank(mixture, frame, dtype)
    gaussians = Gaussians.of(mixture, frame)
    if data_summary.has_gaps or some_rows or _loses_precision(gaussians, dtype):
        return _row_by_row(gaussians, frame, structure.centred_map, dtype, missing=data_summary.has_gaps)
    if mixture.feature_map is FeatureMap.LINEAR:
        share = -np.vdot(gaussians.precisions[:1].dense, data_summary.total_covariance) / 2
        return _map_parameters(gaussians, frame, FeatureMap.LINEAR, dtype, float(share))
    return _map_parameters(gaussians, frame, mixture.feature_map, dtype)


def prepare_prediction(mixture: Mixture, *, missing: bool = False) -> Coefficients:
    """Return the mixture's coefficients for rows that nobody summarised: right row by row, in float64.

    `missing` says whether values may be missing.
    """
    frame = mixture.frame
    if mixture.structure.layout.n_factors:
        if missing:
            raise ConfigurationError(NO_MISSING)
        return prepare_low_rank(mixture, frame)
    gaussians = Gaussians.of(mixture, frame)
    return _row_by_row(gaussians, frame, mixture.structure.centred_map, np.float64, missing=missing)


def _row_by_row(
    gaussians: Gaussians, frame: Frame, feature_map: FeatureMap, dtype: DTypeLike, *, missing: bool
) -> Coefficients:
    """Return coefficients that are right for each row, of the kernel that does not lose precision."""
    centred = _loses_precision(gaussians, dtype, missing=missing)
    coefficients: Coefficients
    if centred:
        coefficients = _make_centred_parameters(gaussians, frame, feature_map, dtype)
    else:
        coefficients = _map_parameters(gaussians, frame, feature_map, dtype)
    if not missing:
        return coefficients
    if coefficients.has_noise and gaussians.noise_box is None:
        raise ConfigurationError(VOLUME_AND_MISSING)
    log_scale = np.log(frame.scale)
    terms = missing_terms(gaussians.precisions, gaussians.means, log_scale, gaussians.noise_box, centred=centred)
    return replace(coefficients, missing=terms)


def _loses_precision(gaussians: Gaussians, dtype: DTypeLike, *, missing: bool = False) -> bool:
    error = np.finfo(dtype).eps * gaussians.cancellation
    return bool(error > (MAX_ERROR_WITH_GAPS if missing else MAX_ERROR)[np.dtype(dtype)])


def _map_parameters(
    gaussians: Gaussians, frame: Frame, feature_map: FeatureMap, dtype: DTypeLike, share: float = 0.0
) -> FeatureMapParams:
    precisions, means = gaussians.precisions, gaussians.means
    linear = precisions.apply(means)
    constant = gaussians.log_constants - (means * linear).sum(axis=1) / 2 + share
    quadratic = np.empty((len(means), 0)) if feature_map is FeatureMap.LINEAR else -precisions.values / 2
    theta = _pack(feature_map, constant, linear, quadratic, frame)
    noise = np.zeros((len(gaussians.noise), theta.shape[1]))
    noise[:, 0] = gaussians.noise
    theta = np.concatenate([theta, noise])
    return FeatureMapParams(frame, feature_map, np.ascontiguousarray(theta, dtype=dtype), has_noise=len(noise) > 0)


def _make_centred_parameters(
    gaussians: Gaussians, frame: Frame, feature_map: FeatureMap, dtype: DTypeLike
) -> CentredParams:
    d = gaussians.means.shape[1]
    whitening = gaussians.whitening.values.reshape(len(gaussians.means), -1, d)
    components = (gaussians.log_constants, gaussians.means, whitening)
    n_noise = len(gaussians.noise)
    noise = (gaussians.noise, np.zeros((n_noise, d)), np.zeros((n_noise, *whitening.shape[1:])))
    arrays = (np.concatenate(pair) for pair in zip(components, noise, strict=True))
    mixture = own_centres.Centred(*(np.ascontiguousarray(a, dtype=dtype) for a in arrays))
    return CentredParams(frame, feature_map, mixture, has_noise=n_noise > 0)


def _pack(feature_map: FeatureMap, constant: Array, linear: Array, quadratic: Array, frame: Frame) -> Array:
    """Return the coefficients (k, F) of constant + linear . z + z^T quadratic z, of (k, d, d), (k, d) or (k, 0)."""
    if feature_map is FeatureMap.SPHERICAL:
        quadratic = (quadratic / frame.isotropy_weights)[:, :1]
    return pack_coefficients(constant, linear, quadratic)


def _kernel_args(frame: Frame, feature_map: FeatureMap, n_columns: int, dtype: np.dtype[Any]) -> kernels.KernelArgs:
    tile = kernels.tile_rows(n_columns)
    return kernels.KernelArgs(
        frame.centre, 1 / frame.scale, frame.isotropy_weights, int(feature_map), tile, float(_FLUSH[dtype])
    )
