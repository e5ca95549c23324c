"""The noise component within a mixture: weights, moves of components, coordinates, samples."""

import numpy as np
import pytest

from daskgmm.core.mixture.frame import Frame
from daskgmm.core.mixture.mixture import Mixture, check_parts, hold, project
from daskgmm.core.mixture.noise import Noise
from daskgmm.errors import ConfigurationError

NOISE = Noise.of_box(np.array([-4.0, 0.0]), np.array([6.0, 3.0]))


def mixture(covariance_type="full", noise=NOISE, frozen=()):
    covariances = {"full": np.array([np.eye(2), 2 * np.eye(2), np.diag([1.0, 3.0])]), "tied": np.eye(2)}
    means = np.array([[0.0, 1.0], [5.0, 2.0], [1.0, 1.0]])
    weighed = noise and Noise(0.1, noise.log_volume, noise.box)
    return Mixture(covariance_type, np.array([0.2, 0.3, 0.4]), means, covariances[covariance_type], weighed, frozen)


def test_the_volume_of_a_box_is_the_product_of_its_sides():
    assert np.exp(NOISE.log_volume) == pytest.approx(30)


def test_parameters_of_the_noise_count_as_mclust_counts_them():
    assert mixture().n_parameters == mixture(noise=None).n_parameters + 2


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_moves_of_components_leave_the_noise_as_it_is(covariance_type):
    before = mixture(covariance_type)
    split = before.replace([((1,), before.take([0, 2]))])
    merged = before.merge(0, 2)
    for after in (split, merged):
        assert after.noise == before.noise
        assert after.all_weights.sum() == pytest.approx(1)
    assert before.take([0, 2]).noise is None
    assert before.take([0, 2]).weights.sum() == pytest.approx(1)


def test_moves_keep_the_numbers_of_frozen_components():
    before = mixture(frozen=(0, 2))
    assert before.replace([((1,), before.take([1]))]).frozen == (0, 1)
    assert before.merge(0, 1).frozen == (0, 1)


def test_frozen_components_keep_means_and_covariances_in_projections():
    before = mixture(frozen=(1,))
    moved = Mixture("full", before.weights, before.means + 1, 2 * before.covariances, before.noise, (1,))
    held = hold(moved, before)
    np.testing.assert_array_equal(held.means[1], before.means[1])
    np.testing.assert_array_equal(held.covariances[1], before.covariances[1])
    np.testing.assert_array_equal(held.means[0], moved.means[0])
    np.testing.assert_array_equal(project(before).covariances[1], before.covariances[1])


def test_the_density_of_the_noise_scales_as_that_of_rows():
    frame = Frame(np.array([1.0, 2.0]), np.array([2.0, 5.0]))
    scaled = mixture().scale(frame).noise
    assert scaled.log_volume == pytest.approx(NOISE.log_volume - np.log(10))
    np.testing.assert_allclose(scaled.box, frame.to_z(np.array(NOISE.box)))


def test_samples_of_the_noise_come_last_and_fill_the_box():
    rows, labels = mixture().sample(2_000, np.random.default_rng(0))
    uniform = rows[labels == -1]
    assert (np.diff(np.where(labels < 0, 3, labels)) >= 0).all()
    assert len(uniform) == pytest.approx(200, abs=50)
    assert (uniform >= NOISE.box[0]).all()
    assert (uniform <= NOISE.box[1]).all()
    assert np.ptp(uniform[:, 0]) > 9


def test_samples_without_a_box_are_refused():
    with pytest.raises(ConfigurationError, match="fit with noise=True"):
        mixture(noise=Noise(0.1, 1.0)).sample(100, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("noise", "frozen"),
    [
        (Noise(1.5, 0.0), ()),
        (Noise(0.1, np.inf), ()),
        (Noise(0.1, 0.0, ((0.0,), (1.0,))), ()),
        (Noise(0.1, 0.0, ((0.0, 1.0), (1.0, 1.0))), ()),
        (None, (3,)),
        (None, (1, 0)),
    ],
)
def test_parts_read_from_a_file_that_are_those_of_no_mixture_are_refused(noise, frozen):
    with pytest.raises(ValueError, match=r"noise|frozen"):
        check_parts(Mixture("full", np.ones(3) / 3, np.zeros((3, 2)), np.array([np.eye(2)] * 3), noise, frozen))
