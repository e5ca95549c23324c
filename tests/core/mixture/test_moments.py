"""Moments of components: what adds up, against sums over the rows."""

import numpy as np
import pytest

from daskgmm.core.mixture.covariance import STRUCTURES
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.moments import ComponentMoments, expected_log_joint


def moments(rows, resp, family):
    layout, counts = STRUCTURES[family].layout, resp.sum(axis=0)
    means = resp.T @ rows / counts[:, None]
    own = np.array(
        [layout.reduce((rows - m).T @ ((rows - m) * r[:, None]) / r.sum()) for m, r in zip(means, resp.T, strict=True)]
    )
    return ComponentMoments(layout, counts, means, layout.gather(counts, own))


def example():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 3)) * [1, 2, 3] + 100, rng.dirichlet(np.ones(2), 50)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_moments_of_parts_add_up_to_those_of_the_whole(family):
    rows, resp = example()
    total = moments(rows[:20], resp[:20], family) + moments(rows[20:], resp[20:], family)
    whole = moments(rows, resp, family)
    for name in ("counts", "means", "covariances"):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-10)


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_the_expected_log_joint_is_the_sum_over_the_rows(family):
    rows, resp = example()
    own = moments(rows, resp, family)
    mixture = Mixture(family, np.array([0.3, 0.7]), own.means + 0.5, own.covariances * 1.5)
    dense = mixture.matrices().dense
    for k, value in enumerate(expected_log_joint(mixture, own)):
        way = rows - mixture.means[k]
        squares = (way @ np.linalg.inv(dense[k]) * way).sum(axis=1)
        joint = np.log(mixture.weights[k]) - (np.linalg.slogdet(2 * np.pi * dense[k])[1] + squares) / 2
        assert value == pytest.approx(resp[:, k] @ joint, rel=1e-10)
