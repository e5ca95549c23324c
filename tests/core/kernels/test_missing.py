"""Rows with missing values: the E-step, by the naive one row by row."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels import missing_e_step, pattern_compiled
from daskgmm.core.kernels.missing import pattern
from daskgmm.core.kernels.natural_parameters import CentredParams, FeatureMapParams, prepare, prepare_prediction
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.feature_map import unpack
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.noise import Noise
from daskgmm.core.scoring.imputation import impute
from daskgmm.core.scoring.prediction import LEFT_OUT, PredictionOutputs, predict

from ... import oracles


def with_gaps(rows, share, seed=0):
    """Return rows with values missing at random, one row without any."""
    rows = rows.copy()
    rows[np.random.default_rng([seed, 7]).random(rows.shape) < share] = np.nan
    rows[len(rows) // 2] = np.nan
    return rows


def about(origin, mixture, statistics, frame):
    """Return counts, first and second moments of x about an origin from statistics in a frame."""
    counts, first, second = unpack(mixture.structure.centred_map, statistics.sums, mixture.n_features)
    if second.ndim == 2:
        second = np.einsum("ki,ij->kij", second, np.eye(mixture.n_features))
    first_x, second_x = first * frame.scale, second * np.outer(frame.scale, frame.scale)
    centres = (mixture.means if statistics.centred else np.broadcast_to(frame.centre, mixture.means.shape)) - origin
    cross = centres[:, :, None] * first_x[:, None, :]
    outer = centres[:, :, None] * centres[:, None, :]
    second_x = second_x + cross + cross.transpose(0, 2, 1) + counts[:, None, None] * outer
    return counts, first_x + counts[:, None] * centres, second_x


@given(
    st.sampled_from(["full", "tied", "diag"]),
    st.integers(1, 4),
    st.integers(2, 5),
    st.sampled_from([0.05, 0.3, 0.7]),
    st.sampled_from([0.0, 1e5]),
    st.booleans(),
    st.integers(0, 10),
)
def test_the_statistics_are_those_of_each_row_by_itself(covariance_type, k, d, share, offset, weighted, seed):
    parameters = oracles.random_parameters(covariance_type, k, d, seed)
    rows = with_gaps(oracles.draw(parameters, 40, seed)[0], share, seed)
    weights = np.random.default_rng(seed).integers(0, 3, len(rows)).astype(float) if weighted else None
    naive = oracles.missing_step(rows, weights, parameters)
    mixture = Mixture(*parameters._replace(means=parameters.means + offset))
    summary = summarise_rows(rows + offset, weights, missing=True)
    found = expect(rows + offset, weights, (prepare(mixture, summary),))[0]
    row_weights = np.ones(len(rows)) if weights is None else weights
    counts, first, second = about(offset, mixture, found, summary.frame)
    np.testing.assert_allclose(counts, naive.counts, atol=1e-6)
    np.testing.assert_allclose(first, naive.first, atol=1e-4)
    own = np.ones((d, d)) if covariance_type != "diag" else np.eye(d)
    np.testing.assert_allclose(second * own, naive.second * own, atol=1e-3)
    assert found.log_likelihood == pytest.approx(float(row_weights @ naive.log_prob), abs=1e-4)
    assert found.entropy == pytest.approx(naive.entropy, abs=1e-4)
    assert found.weight_sum == row_weights.sum()


def test_a_spherical_covariance_sums_the_squares_of_all_features():
    parameters = oracles.random_parameters("spherical", 3, 4)
    rows = with_gaps(oracles.draw(parameters, 60)[0], 0.3)
    mixture, summary = Mixture(*parameters), summarise_rows(rows, missing=True)
    found = expect(rows, None, (prepare(mixture, summary),))[0]
    frame, naive = summary.frame, oracles.missing_step(rows, None, parameters)
    about_centre = (
        np.einsum("kii->k", naive.second)
        - 2 * naive.first @ frame.centre
        + naive.counts * (frame.centre @ frame.centre)
    )
    np.testing.assert_allclose(found.sums[:, -1] * frame.unit, about_centre, rtol=1e-10)


@pytest.mark.parametrize(("narrow", "kind"), [(1.0, FeatureMapParams), (1e-6, CentredParams)])
def test_both_kernels_agree_with_the_naive_prediction_and_imputation(narrow, kind):
    parameters = oracles.random_parameters("full", 3, 4)
    parameters = parameters._replace(covariances=parameters.covariances * narrow**2)
    rows = with_gaps(oracles.draw(parameters, 600)[0], 0.3)
    mixture, naive = Mixture(*parameters), oracles.missing_step(rows, None, parameters)
    coefficients = prepare_prediction(mixture, missing=True)
    assert isinstance(coefficients, kind)
    found = predict(rows, None, coefficients, 3, PredictionOutputs(probabilities=True, log_density=True))
    np.testing.assert_allclose(found.log_density, naive.log_prob, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, naive.resp, atol=1e-6)
    filled = impute(rows, coefficients, 3, errors=True)
    gaps = np.isnan(rows)
    np.testing.assert_array_equal(filled.values[~gaps], rows[~gaps])
    np.testing.assert_allclose(filled.values[gaps], naive.imputed[gaps], atol=1e-6)
    np.testing.assert_allclose(filled.errors[gaps], np.sqrt(naive.variances[gaps]), atol=1e-6)
    assert (filled.errors[~gaps] == 0).all()


@pytest.mark.parametrize("condition", [1e2, 1e6])
def test_the_log_likelihood_of_long_thin_components_is_precise(condition):
    rng = np.random.default_rng(0)
    axes = np.array([np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(3)])
    covariances = axes * np.geomspace(1, 1 / condition, 6) @ axes.transpose(0, 2, 1)
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    parameters = oracles.Parameters("full", np.full(3, 1 / 3), rng.normal(size=(3, 6)), covariances)
    rows = with_gaps(oracles.draw(parameters, 300)[0], 0.3)
    found = expect(rows, None, (prepare(Mixture(*parameters), summarise_rows(rows, missing=True)),))[0]
    naive = oracles.missing_step(rows, np.ones(len(rows)), parameters)
    assert found.log_likelihood == pytest.approx(float(naive.log_prob.sum()), rel=1e-10)


@pytest.mark.parametrize(("covariance_type", "narrow"), [("full", 1.0), ("full", 1e-6), ("tied", 1.0), ("diag", 1.0)])
@pytest.mark.parametrize("n_rows", [40, 600])
def test_the_noise_is_uniform_on_the_box_of_what_a_row_has(covariance_type, narrow, n_rows):
    parameters = oracles.random_parameters(covariance_type, 2, 3)
    parameters = parameters._replace(
        weights=0.8 * parameters.weights, covariances=parameters.covariances * narrow**2, means=parameters.means + 3
    )
    rows = with_gaps(np.concatenate([oracles.draw(parameters._replace(weights=[0.5, 0.5]), n_rows)[0]] * 2), 0.3)
    rows[: n_rows // 4] = np.random.default_rng(0).uniform(-4, 9, (n_rows // 4, 3)) + 0 * rows[: n_rows // 4]
    lowest, highest = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    noise = Noise(0.2, float(np.log(highest - lowest).sum()), (tuple(lowest), tuple(highest)))
    weights = np.random.default_rng(1).integers(0, 3, len(rows)).astype(float)
    naive = oracles.missing_step(rows, weights, parameters, (0.2, lowest, highest))
    mixture, summary = Mixture(*parameters, noise), summarise_rows(rows, weights, missing=True)
    found = expect(rows, weights, (prepare(mixture, summary),))[0]
    counts, first, second = about(0.0, replace(mixture, noise=None), of_gaussians(found), summary.frame)
    np.testing.assert_allclose(np.append(counts, found.sums[2, 0]), naive.counts, atol=1e-6)
    np.testing.assert_allclose(first, naive.first[:2], atol=1e-4)
    own = np.ones((3, 3)) if covariance_type != "diag" else np.eye(3)
    np.testing.assert_allclose(second * own, naive.second[:2] * own, atol=1e-3)
    assert found.log_likelihood == pytest.approx(float(weights @ naive.log_prob), abs=1e-4)
    assert found.entropy == pytest.approx(naive.entropy, abs=1e-4)
    assert noise.log_density(rows) == pytest.approx(np.log(naive.resp[:, 2]) + naive.log_prob)
    coefficients = prepare_prediction(mixture, missing=True)
    scored = predict(rows, None, coefficients, 2, PredictionOutputs(probabilities=True, log_density=True))
    np.testing.assert_allclose(scored.log_density, naive.log_prob, atol=1e-5)
    np.testing.assert_allclose(scored.probabilities, naive.resp, atol=1e-6)
    filled, gaps = impute(rows, coefficients, 2, errors=True), np.isnan(rows)
    np.testing.assert_allclose(filled.values[gaps], naive.imputed[gaps], atol=1e-5)
    np.testing.assert_allclose(filled.errors[gaps], np.sqrt(naive.variances[gaps]), atol=1e-5)


def of_gaussians(statistics):
    """Return the statistics without the row of the noise, which is the last of three."""
    return replace(statistics, sums=statistics.sums[:2])


@pytest.mark.parametrize(("each_its_own", "called"), [(False, "patterns"), (True, "filled")])
def test_a_form_that_no_row_takes_is_not_compiled_for_it(each_its_own, called, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(40, 8))
    if each_its_own:
        rows[np.unpackbits(np.arange(40, dtype=np.uint8)[:, None], axis=1) == 1] = np.nan
    else:
        rows[::2, :3] = np.nan
    forms = []
    kinds = {"patterns": (pattern_compiled, "expect_patterns"), "filled": (missing_e_step, "expect_shared_missing")}
    for name, (module, function) in kinds.items():
        own = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *_, name=name, own=own: forms.append(name) or own(*_))
    mixture = Mixture("full", np.ones(1), np.zeros((1, 8)), np.eye(8)[None])
    expect(rows, None, (prepare(mixture, summarise_rows(rows, missing=True)),))
    assert forms == [called]


def test_a_row_without_any_value_has_the_log_density_0_the_weights_and_the_label_of_rows_left_out():
    parameters = oracles.random_parameters("full", 2, 3)
    found = predict(
        np.full((1, 3), np.nan),
        None,
        prepare_prediction(Mixture(*parameters), missing=True),
        2,
        PredictionOutputs(probabilities=True, log_density=True),
    )
    assert (found.labels[0], found.log_density[0]) == (LEFT_OUT, 0.0)
    np.testing.assert_allclose(found.probabilities[0], parameters.weights)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EII", "VEV"])
def test_complete_blocks_keep_their_bits_beside_blocks_with_gaps(covariance_type):
    parameters = oracles.random_parameters("full", 2, 3)
    rows = oracles.draw(parameters, 500)[0]
    summary = summarise_rows(with_gaps(rows, 0.1), missing=True)
    start = {"VEV": "full", "EII": "spherical"}.get(covariance_type, covariance_type)
    mixture = Mixture(covariance_type, *oracles.random_parameters(start, 2, 3)[1:])
    found = expect(rows, None, (prepare(mixture, summary),))[0]
    plain = expect(rows, None, (prepare(mixture, summary, some_rows=True),))[0]
    np.testing.assert_array_equal(found.sums, plain.sums)
    assert found.log_likelihood == plain.log_likelihood


@given(st.integers(1, 130), st.floats(0, 1), st.integers(0, 100))
def test_rows_are_sorted_by_what_they_miss_and_none_is_lost(d, share, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(30, d))
    rows[rng.random(rows.shape) < share] = np.nan
    found, gaps = pattern(rows, None), np.isnan(rows)
    if found is None:
        assert not gaps.any()
        return
    together = np.concatenate([found.complete, found.partial, found.empty])
    assert sorted(together.tolist()) == list(range(30))
    assert not gaps[found.complete].any()
    assert gaps[found.empty].all()
    masks = [tuple(one) for one in gaps[found.partial]]
    runs = [mask for at, mask in enumerate(masks) if at == 0 or mask != masks[at - 1]]
    assert len(runs) == len(set(runs))


def test_a_gap_is_found_in_the_last_rows_of_a_long_block():
    rows = np.zeros((70_000, 2))
    rows[-1, 1] = np.nan
    found = pattern(rows, None)
    assert found.partial.tolist() == [69_999]
    assert found.edges.tolist() == [0, 1]
    assert len(found.complete) == 69_999
    assert pattern(rows, np.arange(69_999.0, -1, -1)) is None  # that row has weight 0
    assert pattern(np.full((70_000, 2), 1e308), None) is None
