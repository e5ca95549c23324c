"""What a mixture says of rows of a sample, and what it would gain there by other components in place of its own.

With p_n the density of row n, r_n the responsibility of the components that go, and s_n the weighted density of those
that come, the log-likelihood of the whole mixture gains the mean of

    log(1 - r_n + s_n / p_n)

before any more EM. The gains of splits and the losses of mergers are computed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..em.e_step import Expectation
from ..kernels.natural_parameters import prepare_prediction
from ..mixture.mixture import Mixture
from ..scoring.prediction import PredictionOutputs, predict
from .paired_difference import log_density

MAX_NUMBERS = 2**23  # responsibilities that are held
_MIN_RESP = 1e-3  # of a row: what changes less is not counted
_MIN_OVERLAP = 1e-3  # of the rows: components that share less do not overlap
_MIN_REST = 1e-6  # below it, 1 minus a responsibility has fewer than 10 digits
_OVERLAP_ROWS = 20_000  # on which is seen what components share
_AT_ONCE = 2**18  # numbers of pairs and rows, of which gains are computed together
_TINY = 1e-300
_LOG_NOTHING = -1e300  # for the logarithm of 0 that takes part in sums
_LOG_FLUSHED = -60.0  # relative log-densities below which those matter whose responsibilities are given as 0


@dataclass(frozen=True, eq=False)
class Responsibilities:
    """A mixture, rows of a sample, and the responsibility of each component for each row."""

    sample: Expectation
    mixture: Mixture
    of_rows: Array  # (n, k), in the order of Fortran; 0 for rows of weight 0
    of_noise: Array  # (n,)
    log_density: Array  # (n,)
    shares: Array  # (n,) of the rows in all weights

    @classmethod
    def of(cls, sample: Expectation, mixture: Mixture) -> Responsibilities:
        """Return those of the first rows of the sample: all, unless there are many components."""
        rows = sample.take(slice(max(MAX_NUMBERS // mixture.n_components, 1)))
        coefficients, k = prepare_prediction(mixture, missing=rows.data_summary.has_gaps), mixture.n_components
        outputs = PredictionOutputs(probabilities=True, log_density=True)
        found = predict(rows.rows, rows.row_weights, coefficients, k, outputs)
        assert found.log_density is not None, "it was asked for"
        weights = rows.weights
        # Columns are taken one by one.
        probabilities = np.nan_to_num(np.array(found.probabilities, np.float64, order="F"), copy=False)
        of_noise = probabilities[:, k:].sum(axis=1)
        density = np.nan_to_num(found.log_density)
        return cls(rows, mixture, probabilities[:, :k], of_noise, density, weights / weights.sum())

    def first(self, n: int) -> Responsibilities:
        """Return those of the first n rows."""
        return self._take(slice(n), n)

    def last(self, n: int) -> Responsibilities:
        """Return those of the last n rows."""
        return self._take(slice(-n, None), n)

    def _take(self, own: slice, n: int) -> Responsibilities:
        if len(self.shares) <= n or not self.shares[own].any():
            return self
        shares = self.shares[own] / self.shares[own].sum()
        of_rows, of_noise, density = self.of_rows[own], self.of_noise[own], self.log_density[own]
        return Responsibilities(self.sample.take(own), self.mixture, of_rows, of_noise, density, shares)

    def of_components(self, components: Sequence[int]) -> Array:
        """Return the responsibilities of some components together, (n,)."""
        together: Array = self.of_rows[:, list(components)].sum(axis=1)
        return together

    def gain(self, components: Sequence[int], others: Mixture) -> float:
        """Return the gain in nats per row if others take the place and the weight of some components."""
        near = np.flatnonzero(self.of_components(components) > _MIN_RESP)
        if not len(near):
            return 0.0
        part = replace(self.sample, rows=self.sample.rows[near], row_weights=None)
        own, before = log_density(part, others) + np.log(self.share(components)), self.log_density[near]
        rest = self.log_rest(components, near, own - before < _LOG_FLUSHED)
        return float(self.shares[near] @ (np.logaddexp(rest, own) - before))

    def gains(self, pairs: Sequence[tuple[int, int]], others: Mixture) -> Array:
        """Return the gains, (m,), if each of others takes the place of a pair, one by one.

        The weights of others are in proportion to what they take.
        """
        coefficients = prepare_prediction(others, missing=self.sample.data_summary.has_gaps)
        outputs = PredictionOutputs(probabilities=True, log_density=True)
        found = predict(self.sample.rows, self.sample.row_weights, coefficients, len(pairs), outputs)
        assert found.log_density is not None, "it was asked for"
        first, second = np.array(pairs).T
        share = np.maximum(self.mixture.weights[first] + self.mixture.weights[second], _TINY).sum()
        relative = np.exp(np.nan_to_num(found.log_density) + np.log(share) - self.log_density)
        probabilities, n = np.asarray(found.probabilities), max(_AT_ONCE // len(relative), 1)
        some = (slice(at, at + n) for at in range(0, len(pairs), n))
        return np.concatenate([self._gains(first[one], second[one], probabilities[:, one], relative) for one in some])

    def _gains(self, first: NDArray[np.intp], second: NDArray[np.intp], probabilities: Array, relative: Array) -> Array:
        """Return the gains, (m,), if others of these probabilities (n, m) take the place of the pairs.

        `relative` (n,) is the density of all others in units of that of the mixture.
        """
        together = self.of_rows[:, first] + self.of_rows[:, second]
        number, row = np.nonzero(together.T > _MIN_RESP)
        comes = np.nan_to_num(probabilities[row, number]) * relative[row]
        left = np.maximum(1 - together[row, number], 0.0)
        changes = self.shares[row] * np.log(np.maximum(left + comes, _TINY))
        return np.bincount(number, changes, len(first)).astype(np.float64, copy=False)

    def share(self, components: Sequence[int] | NDArray[np.intp]) -> float:
        """Return the weight of some components together, more than 0."""
        return max(float(self.mixture.weights[list(components)].sum()), _TINY)

    def log_rest(self, components: Sequence[int], rows: NDArray[np.intp], exact: NDArray[np.bool_] | bool) -> Array:
        """Return the logarithm of the density of some rows by all other components and the noise; it is finite.

        Of rows that are almost the components' own, 1 minus their responsibility would be rounding: those of the others
        are added up there. Of rows that are theirs alone it is computed where it is to be `exact`, and else left out.
        """
        stays = ~np.isin(np.arange(self.mixture.n_components), components)
        rest = 1 - self.of_components(components)[rows]
        few = np.flatnonzero(rest < _MIN_REST)
        rest[few] = self.of_rows[rows[few]] @ stays + self.of_noise[rows[few]]
        log_rest = np.where(rest > 0, np.log(np.maximum(rest, _TINY)) + self.log_density[rows], _LOG_NOTHING)
        alone = np.flatnonzero((rest == 0) & exact)
        if len(alone):
            log_rest[alone] = self._joint_log_density(np.flatnonzero(stays), rows[alone])
        return log_rest

    def _joint_log_density(self, components: NDArray[np.intp], rows: NDArray[np.intp]) -> Array:
        """Return the logarithm of the density of some rows by some components and the noise; it is finite."""
        part = replace(self.sample, rows=self.sample.rows[rows], row_weights=None)
        joint, noise = np.full(len(rows), _LOG_NOTHING), self.mixture.noise
        if self.mixture.weights[components].any():
            joint = np.maximum(log_density(part, self.mixture.take(components)) + np.log(self.share(components)), joint)
        return joint if noise is None else np.logaddexp(joint, noise.log_density(part.rows))

    @cached_property
    def overlaps(self) -> Array:
        """The share of the first rows that each pair of components has in common, (k, k), upper triangle."""
        some = self.first(_OVERLAP_ROWS)
        shared: Array = np.triu(some.of_rows.T @ (some.of_rows * some.shares[:, None]), k=1)
        return shared


def rank_overlaps(shared: Array) -> list[tuple[int, int]]:
    """Return the pairs of components that overlap, most first; `shared` (k, k), an upper triangle, as of `overlaps`."""
    order = np.argsort(-shared, axis=None, kind="stable")
    firsts, seconds = np.unravel_index(order[: np.count_nonzero(shared >= _MIN_OVERLAP)], shared.shape)
    return list(zip(firsts.tolist(), seconds.tolist(), strict=True))
