"""Short runs of EM from many starts on rows in memory: those that fall behind are given up on the way.

Each run is one compiled call (see kernels/em_run.py), in the coordinates of the frame of the rows. Families whose
covariances have parts in common take the loop instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import DTypeLike

from ...blas import single_threaded
from ...concurrency import map_helped
from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..kernels import em_run as kernels
from ..kernels.natural_parameters import check_regular
from ..mixture.covariance import CovarianceFamily
from ..mixture.degenerate import overfit
from ..mixture.feature_map import FeatureMap
from ..mixture.floor import Floor
from ..mixture.frame import Frame
from ..mixture.matrices import DenseMatrices, DiagonalMatrices
from ..mixture.mixture import Mixture
from .e_step import Expectation, Rows
from .inference import MaximumLikelihood
from .loop import EMOptions, StopReason, Trial

_TILE_ROWS = {4: 192, 8: 128}  # by the bytes of a number: the quickest of 64 to 512 for 1 to 32 features
_MIN_WIDTH = 1e-3  # of a component in units of how far from 0 it lies: its square is 17 times the rounding of float32
_BLOCK_NUMBERS = 2**16  # of rows that are brought into tiles at a time, at least a tile
_BLOCK_COPIES = 4  # of them: rows, z twice, and z as it is laid out
_STOPS = {
    kernels.GOES_ON: StopReason.MAX_ITER,
    kernels.CONVERGED: StopReason.CONVERGED,
    kernels.SINGULAR: StopReason.COLLAPSED,
    kernels.BELOW_FLOOR: StopReason.MAX_ITER,
}


@dataclass(frozen=True, eq=False)
class _Run:
    """One start on its way; the arrays are changed in place."""

    start: Mixture
    state: kernels.State
    n: int = 0  # levels that are filled
    end: int = kernels.GOES_ON

    @property
    def level(self) -> float:
        """What was reached, minus infinity if the start itself is singular."""
        return float(self.state.levels[self.n - 1]) if self.n else -np.inf


def knows_family(family: CovarianceFamily) -> bool:
    """Return whether compiled runs know a family: its covariances are estimated one by one, or pooled."""
    return not family.coupled and not family.layout.n_factors


def can_run(rows: Expectation, mixture: Mixture, em: EMOptions) -> bool:
    """Return whether compiled runs know the mixture and the objective, and no values are missing.

    They know neither noise, frozen components nor labelled rows.
    """
    if mixture.noise is not None or mixture.frozen or rows.labelled is not None:
        return False
    likely = isinstance(em.inference, MaximumLikelihood)
    return likely and knows_family(mixture.structure) and not rows.data_summary.has_gaps


def run_short(
    rows: Expectation,
    starts: Sequence[Mixture],
    em: EMOptions,
    stages: Sequence[int],
    background: Array | None = None,
) -> tuple[Trial, ...]:
    """Return the trials of EM from starts of one family, in order; those whose start is singular are left out.

    After each of the stages, of so many steps, the worse half of those that go on is given up. `background` (n,) is the
    logarithm of a density that stays and is added to that of the components, whose weights add up to 1. Raises
    SingularCovarianceError where all starts are singular.
    """
    with single_threaded():
        runner = _Runner(rows, starts, em, background)
        runs = [runner.start(mixture) for mixture in starts]
        like = starts[0]
        work = len(rows.rows) * like.n_components * like.feature_map.n_columns(like.n_features)
        going = list(range(len(runs)))
        for n_steps in stages:
            gone_on = list(map_helped(partial(runner.go_on, n_steps=n_steps), [runs[number] for number in going], work))
            for number, run in zip(going, gone_on, strict=True):
                runs[number] = run
            going = sorted(going, key=lambda number: -runs[number].level)[: (len(going) + 1) // 2]
        trials = tuple(runner.trial(one) for one in runs if one.n)
    if not trials:
        for mixture in starts:
            check_regular(mixture, rows.data_summary.frame)
        raise SingularCovarianceError("no start can be computed: increase reg_covar or decrease n_components")
    return trials


class _Runner:
    """Rows, and what mixtures of one family are held to on them, made ready for compiled runs."""

    def __init__(self, rows: Expectation, starts: Sequence[Mixture], em: EMOptions, background: Array | None) -> None:
        like, own = starts[0], rows.data_summary.frame
        layout = like.structure.layout
        self._isotropic, self._dense = layout.feature_map is FeatureMap.SPHERICAL, layout.dense
        scale = np.full(own.n_features, np.sqrt(own.unit)) if self._isotropic else own.scale
        self._frame, self._em, self._n_rows = Frame(own.centre, scale), em, rows.data_summary.n_rows
        self._log_scale = float(np.log(scale).sum())
        if background is not None:  # as the kernel has densities of z: without the factor (2 pi)^(-d/2)
            background = background + self._log_scale + own.n_features * np.log(2 * np.pi) / 2
        dtype = self._choose_type(rows.dtype, starts)
        self._tiles = _tiles(rows.rows, self._frame, rows.row_weights, background, dtype)
        self._bound = kernels.Bound(self._floor(em.floor), self._isotropic, like.structure.shared)

    def _choose_type(self, dtype: DTypeLike, starts: Sequence[Mixture]) -> DTypeLike:
        """Return the type that rows are computed in: float64 where components are too narrow for another."""
        fine = dtype == np.float64 or all(self._narrowest(one) > _MIN_WIDTH for one in starts)
        return dtype if fine else np.float64

    def _narrowest(self, mixture: Mixture) -> float:
        """Return the least width of a component in any direction, in units of how far from 0 it lies, at least 1."""
        values, means = mixture.matrices(self._frame).values, self._frame.to_z(mixture.means)
        variances = np.linalg.eigvalsh(values) if self._dense else values
        least = variances.reshape(len(means), -1).min(axis=1)
        return float((np.sqrt(np.maximum(least, 0.0)) / np.maximum(np.abs(means).max(axis=1), 1.0)).min())

    def start(self, mixture: Mixture) -> _Run:
        """Return the run that begins with a mixture."""
        k, d = mixture.means.shape
        values = mixture.matrices(self._frame).values.reshape(k, -1, d)
        parts = mixture.weights, self._frame.to_z(mixture.means), values
        # In the order of C whatever theirs is: for another one the kernel is compiled again, and has other last digits.
        at = kernels.Components(*(np.array(part, np.float64, order="C") for part in parts))
        return _Run(mixture, kernels.make_state(self._tiles, at, self._em.max_iter + 1))

    def go_on(self, run: _Run, n_steps: int) -> _Run:
        """Return the run after so many steps more, or until it stops."""
        until, n, end = min(max(run.n, 1) + n_steps, len(run.state.levels)), run.n, run.end
        while n < until and end in (kernels.GOES_ON, kernels.BELOW_FLOOR):
            n, end = kernels.run(self._tiles, self._bound, run.state, n, until, self._em.tol)
            if end == kernels.BELOW_FLOOR and not self._raise(run.state.at.covariances):
                end = kernels.SINGULAR
        return replace(run, n=n, end=end)

    def trial(self, run: _Run) -> Trial:
        """Return the best mixture that was evaluated; a start that is singular has no history."""
        history = tuple(float(level) - self._log_scale for level in run.state.levels[: run.n])
        mixture = self._mixture(run)
        flattered, n_unsound = overfit(mixture, self._n_rows, self._em.floor)
        return Trial(mixture, history, stop=_STOPS[run.end], overfit=flattered, n_unsound=n_unsound)

    def _mixture(self, run: _Run) -> Mixture:
        like, best = run.start, run.state.best
        values = best.covariances
        scaled = values * np.outer(self._frame.scale, self._frame.scale) if self._dense else values[:, 0]
        matrices = DenseMatrices(scaled) if self._dense else DiagonalMatrices(scaled * self._frame.scale**2)
        covariances = like.structure.layout.of_matrices(matrices)
        return replace(like, weights=best.weights, means=self._frame.to_x(best.means), covariances=covariances)

    def _floor(self, floor: Floor | None) -> Array:
        d = self._frame.n_features
        if floor is None:
            return np.zeros((d if self._dense else 1, d))
        if self._dense:
            scaled: Array = floor.matrix / np.outer(self._frame.scale, self._frame.scale)
            return scaled
        variances = floor.variances.mean() * np.ones(d) if self._isotropic else floor.variances
        return (variances / self._frame.scale**2)[None]

    @cached_property
    def _scaled_floor(self) -> Floor:
        return Floor(np.diagonal(self._bound.floor), self._bound.floor)

    def _raise(self, covariances: Array) -> bool:
        """Raise dense covariances (k, d, d) in place; return whether there is a floor to raise them to."""
        if self._em.floor is None:
            return False
        covariances[:] = self._scaled_floor.raise_matrices(covariances)
        return True


def bytes_of_short_runs(n_rows: int, n_features: int) -> int:
    """Return the most bytes that rows take in compiled runs on part of them: that part, its tiles, and blocks of both.

    Weight and background of each row count as a feature. The last tile is a whole one, and so is the least block.
    """
    tile = max(_TILE_ROWS.values())
    n_in_tiles, block = -(-n_rows // tile) * tile, max(_BLOCK_NUMBERS, tile * n_features)
    return 8 * ((n_rows + n_in_tiles) * (n_features + 1) + _BLOCK_COPIES * block)


def _tiles(
    rows: Rows, frame: Frame, row_weights: Rows | None, background: Array | None, dtype: DTypeLike
) -> kernels.Tiles:
    """Return rows (n, d) in tiles of z of a type; rows of weight 0 may hold anything."""
    n, d = rows.shape
    tile = _TILE_ROWS[np.dtype(dtype).itemsize]
    n_tiles = -(-n // tile)
    weights, parts = np.zeros(n_tiles * tile), np.zeros((n_tiles, d, tile), dtype)
    weights[:n] = 1.0 if row_weights is None else row_weights
    step = max(_BLOCK_NUMBERS // (tile * d), 1) * tile
    for at in range(0, n, step):
        z = frame.to_z(np.asarray(rows[at : at + step], np.float64))
        z[weights[at : at + len(z)] == 0] = 0.0
        padded = np.zeros((-(-len(z) // tile) * tile, d))
        padded[: len(z)] = z
        first = at // tile
        parts[first : first + len(padded) // tile] = padded.reshape(-1, tile, d).transpose(0, 2, 1)
    beside = np.zeros((0 if background is None else 1, n_tiles * tile))
    beside[:, :n] = 0.0 if background is None else background
    return kernels.Tiles(
        parts, weights.reshape(n_tiles, tile), float(weights.sum()), beside.reshape(len(beside), n_tiles, tile)
    )
