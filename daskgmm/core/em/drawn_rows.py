"""Rows that are drawn from a mixture in place of rows that are not read again: how their statistics change.

Let T be the statistics of rows under a mixture theta_0, and S(theta) those of drawn rows, scaled to the same weight.
Then

    T + S(theta) - S(theta_0)

stands for the statistics under another mixture, which no pass has given. It is exact at theta_0, and of the change
alone the error is that of a sample and of the mixture that it is drawn from: S is a control variate (Chen, Zhu, Teh and
Zhang 2018, stochastic EM with variance reduction).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import SingularCovarianceError
from ..mixture.data_summary import DataSummary, summarise_rows
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments
from .e_step import Expectation
from .inference import Inference
from .m_step import component_moments

_MAX_DRAWN = 32_768  # rows
_MAX_VALUES = 2**22  # of all drawn rows: 32 MiB
_DRAWN_PER_PARAMETER = 2
_ROWS_PER_PARAMETER = 10  # of a component: of fewer, rows drawn from it are not like its own
_EM_STEPS = 8  # of plain EM: in directions that are nearly flat, more follow what drawn rows cannot tell


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """Drawn rows, what is inferred from them, and for which components they stand."""

    expect: Expectation
    inference: Inference
    trusted: NDArray[np.bool_]  # (k,): whether a component has rows enough

    def change(self, moments: ComponentMoments, weight_sum: float, before: Mixture, after: Mixture) -> ComponentMoments:
        """Return moments, of which rows that weigh `weight_sum` are known under `before`, as they are under `after`.

        Components that are not trusted keep theirs.
        """
        return moments + self._moments(after, weight_sum) + self._moments(before, weight_sum).scale(-1)

    def follow(
        self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None
    ) -> tuple[Mixture, ComponentMoments]:
        """Return the mixture to which the moments of all rows under a mixture lead by EM, and those of its last step.

        It stops at moments that rows cannot have.
        """
        state, current = self.inference.estimate(mixture, moments, floor), moments
        removed = self._moments(mixture, moments.weight_sum).scale(-1)
        for _ in range(_EM_STEPS - 1):
            changed = moments + self._moments(state, moments.weight_sum) + removed
            if not can_be_of_rows(changed, state):
                break
            state, current = self.inference.estimate(state, changed, floor), changed
        return state, current

    def _moments(self, mixture: Mixture, weight_sum: float) -> ComponentMoments:
        (statistics,) = self.expect((self.inference.natural_parameters(mixture),))
        moments = component_moments(mixture, statistics, self.expect.data_summary)
        moments = moments.scale(weight_sum / statistics.weight_sum)
        return replace(moments, counts=np.where(self.trusted, moments.counts, 0.0))


def draw_rows(mixture: Mixture, inference: Inference, data_summary: DataSummary) -> DrawnRows | None:
    """Return rows drawn from a mixture, always the same; None if they would not stand for the summarised rows.

    So it is if values are missing, if the noise has a hypervolume but no box to draw from, or if the mixture has too
    many parameters for so few drawn rows.
    """
    without_box = mixture.noise is not None and mixture.noise.box is None
    n_rows = min(_MAX_DRAWN, _MAX_VALUES // mixture.n_features)
    if data_summary.has_gaps or without_box or n_rows < _DRAWN_PER_PARAMETER * mixture.n_parameters:
        return None
    rows, row_weights = _draw(inference.plug_in(mixture), n_rows)
    trusted = mixture.weights * data_summary.n_rows * mixture.n_components >= _ROWS_PER_PARAMETER * mixture.n_parameters
    return DrawnRows(Expectation(rows, row_weights, summarise_rows(rows, row_weights)), inference, trusted)


def _draw(mixture: Mixture, n_rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows (n, d) drawn from a mixture, and their weights (n,).

    Half of them are spread evenly over the components, so that small ones have enough; the weights make up for it.
    """
    shares = mixture.all_weights
    even = np.where(shares > 0, 1 / np.count_nonzero(shares), 0.0)
    rows, labels = mixture.weigh((shares + even) / 2).sample(n_rows, np.random.default_rng(0))
    counts = np.bincount(labels % len(shares), minlength=len(shares))  # noise has the label -1, and the last share
    return rows, np.repeat(shares / np.maximum(counts, 1), counts)


def can_be_of_rows(moments: ComponentMoments, mixture: Mixture) -> bool:
    """Return whether no count is negative, and all covariances are positive definite."""
    if (moments.counts < 0).any() or moments.noise_count < 0:
        return False
    try:
        replace(mixture, covariances=moments.covariances).matrices().check()
    except SingularCovarianceError:
        return False
    return True
