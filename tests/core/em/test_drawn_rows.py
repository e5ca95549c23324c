"""Drawn rows in place of rows that are not read again, against passes over these."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.drawn_rows import can_be_of_rows, draw_rows
from daskgmm.core.em.inference import MAXIMUM_LIKELIHOOD
from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.m_step import component_moments
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.noise import Noise

SOURCE = Mixture(
    "full", np.array([0.5, 0.3, 0.2]), np.array([[0.0, 0.0], [2.5, 0.5], [0.0, 3.0]]), np.tile(np.eye(2), (3, 1, 1))
)
OTHER = replace(SOURCE, weights=np.array([0.4, 0.3, 0.3]), means=SOURCE.means + np.array([0.1, -0.1]))


def make_rows(n=40_000):
    return in_memory(SOURCE.sample(n, np.random.default_rng(1))[0], None)


def moments_of(rows, mixture):
    return component_moments(mixture, rows((mixture,))[0], rows.data_summary)


@pytest.mark.parametrize("noise", [None, Noise(0.1, np.log(100.0), ((-5.0, -5.0), (5.0, 5.0)))], ids=["", "noise"])
def test_moments_change_with_the_mixture_nearly_as_those_of_the_rows(noise):
    rows, before, after = make_rows(), replace(SOURCE, noise=noise), replace(OTHER, noise=noise)
    known, expected = moments_of(rows, before), moments_of(rows, after)
    changed = draw_rows(before, MAXIMUM_LIKELIHOOD, rows.data_summary).change(known, known.weight_sum, before, after)
    for name in ("counts", "means", "covariances"):
        own, here, there = (getattr(one, name) for one in (changed, known, expected))
        assert np.abs(own - there).max() < 0.1 * np.abs(here - there).max()
    assert changed.weight_sum == pytest.approx(known.weight_sum)


def test_steps_on_drawn_rows_raise_the_log_likelihood_of_a_mixture_of_too_many_components():
    rows = make_rows(20_000)
    start = Mixture("full", np.full(5, 0.2), rows.rows[:5], np.tile(np.eye(2), (5, 1, 1)))
    fitted = iterate(State(rows.data_summary, (Trial(start),)), rows, EMOptions(max_iter=20)).best
    moments = component_moments(fitted.mixture, fitted.statistics, rows.data_summary)
    step = MAXIMUM_LIKELIHOOD.estimate(fitted.mixture, moments, None)
    drawn = draw_rows(fitted.mixture, MAXIMUM_LIKELIHOOD, rows.data_summary)
    state, _ = drawn.follow(fitted.mixture, moments, None)
    levels = [statistics.mean_log_likelihood for statistics in rows((fitted.mixture, step, state))]
    assert levels[0] < levels[1] < levels[2]


def test_components_of_few_rows_keep_their_moments():
    rows = make_rows(4_000)
    few = replace(SOURCE, weights=np.array([0.6, 0.39, 0.01]))  # of 40 rows, with six parameters
    known = moments_of(rows, few)
    changed = draw_rows(few, MAXIMUM_LIKELIHOOD, rows.data_summary).change(known, known.weight_sum, few, OTHER)
    assert changed.counts[2] == known.counts[2]
    assert abs(changed.counts[0] - known.counts[0]) > 10


def test_no_rows_stand_for_those_that_the_mixture_cannot_draw():
    data_summary = make_rows(100).data_summary
    gappy, without_box = replace(data_summary, n_gaps=(1, 0)), replace(SOURCE, noise=Noise(0.1, 3.0))
    many = replace(
        SOURCE, weights=np.full(5000, 1 / 5000), means=np.zeros((5000, 2)), covariances=np.tile(np.eye(2), (5000, 1, 1))
    )
    for mixture, rows in ((SOURCE, gappy), (without_box, data_summary), (many, data_summary)):
        assert draw_rows(mixture, MAXIMUM_LIKELIHOOD, rows) is None


def test_negative_counts_and_indefinite_covariances_are_of_no_rows():
    moments = moments_of(make_rows(1_000), SOURCE)
    assert can_be_of_rows(moments, SOURCE)
    assert not can_be_of_rows(replace(moments, counts=moments.counts - moments.counts[2] - 1), SOURCE)
    assert not can_be_of_rows(replace(moments, covariances=moments.covariances - 2 * np.eye(2)), SOURCE)
