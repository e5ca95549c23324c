"""Data that give numerical trouble: the answer is a finite model, or one line with the value and the remedy."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import ConvergenceWarning

from daskgmm import GaussianMixture, load_model
from daskgmm.core.em.loop import StopReason
from tests.cli.test_commands import refused, run

TYPES = ["full", "tied", "diag", "spherical"]
BASE = np.random.default_rng(0).standard_normal((60, 3))
TROUBLE = {
    "all rows equal": np.full((50, 3), 3.7),
    "two distinct rows": np.repeat([[0.0, 1, 2], [3, 4, 5]], 25, axis=0),
    "four distinct rows": np.repeat(BASE[:4], 15, axis=0),
    "one dimension constant": np.c_[BASE, np.full(60, 5.0)],
    "a copied column": np.c_[BASE, BASE[:, 0]],
    "nearly a copied column": np.c_[BASE, BASE[:, 0] + 1e-9 * BASE[:, 1]],
    "more features than rows": np.random.default_rng(1).standard_normal((9, 20)),
    "1e-150": BASE * 1e-150,
    "1e150": BASE * 1e150,
    "1e300": BASE * 1e300,
    "1e-130": BASE * 1e-130,
    "1e130": BASE * 1e130,
    "mixed scales": BASE * [1e-150, 1, 1e150],
    "mixed scales far apart": BASE * [1e-100, 1, 1e100],
    "mixed scales that fit": BASE * [1e-60, 1, 1e60],
    "largest floats": np.finfo(float).max * np.sign(BASE),
    "one row far away": np.r_[BASE, [[1e200] * 3]],
    "offset": 1e15 + BASE,
    "truths": BASE > 0,
    "integers": (100 * BASE).astype(np.int16),
    "float16": BASE.astype(np.float16),
    "largest float32": np.float32(3e38) * np.sign(BASE, dtype=np.float32),
    "not finite": np.where(BASE > 1.5, np.nan, np.where(BASE < -1.5, -np.inf, BASE)),
}


def outcome(rows, sample_weight=None, **options):
    """Return the fitted model, or the refusal; no other exception and no warning but that of convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return GaussianMixture(**{"random_state": 0, "n_init": 2, "max_iter": 20, **options}).fit(
                rows, sample_weight=sample_weight
            )
        except ValueError as error:
            return error


def assert_sound(found, rows):
    """Assert that it is a finite model that scores its rows, or one line."""
    if isinstance(found, ValueError):
        assert "\n" not in str(found)
        return
    assert found.weights_.sum() == pytest.approx(1)
    for values in (found.weights_, found.means_, found.covariances_, found.precisions_cholesky_, found.lower_bound_):
        assert np.isfinite(values).all()
    if found.covariance_type in {"full", "tied"}:
        np.linalg.cholesky(found.covariances_)
    assert (found._mixture().structure.layout.variances(found.covariances_, found.means_.shape) > 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(found.score_samples(rows)).all()
        np.testing.assert_allclose(found.predict_proba(rows).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("rows", TROUBLE.values(), ids=TROUBLE)
def test_trouble_is_a_sound_model_or_one_line(rows, covariance_type):
    for n_components, n_init, reg_covar, dtype in (
        (1, 1, 1e-6, "float64"),
        (5, 1, 1e-6, "float32"),
        (3, 2, 0.0, "float64"),
    ):
        options = {"n_components": n_components, "n_init": n_init, "reg_covar": reg_covar, "dtype": dtype}
        assert_sound(outcome(rows, covariance_type=covariance_type, **options), rows)


@given(
    rows=hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    ),
    options=st.fixed_dictionaries(
        {
            "covariance_type": st.sampled_from(TYPES),
            "n_components": st.integers(1, 4),
            "reg_covar": st.sampled_from([0.0, 1e-6, 1.0]),
            "init_params": st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]),
            "dtype": st.sampled_from(["float64", "float32"]),
        }
    ),
    weight=st.sampled_from([None, 0.0, 1e-300, 1e-5, 1.0, 1e300, np.inf, -1.0]),
)
@settings(max_examples=100)
def test_any_data_and_configuration_give_a_sound_model_or_one_line(rows, options, weight):
    weights = None if weight is None else np.where(np.arange(len(rows)) % 3, weight, 1.0)
    assert_sound(outcome(rows, sample_weight=weights, **options), rows)


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        (BASE * 1e150, None, "column 0 has values from .*: deviations must be 1e-140 to 1e.140 .* rescale the column"),
        (BASE * [1, 1e-100, 1e100], None, "column 2 and column 1 have the standard deviations .* ratios of them"),
        (np.where(BASE[7, 1] == BASE, np.nan, BASE), None, "1 values are not finite, the first in row 7, column 1"),
        (BASE, np.zeros(60), "all weights are zero"),
        (BASE, np.full(60, 1e200), "the row weights sum to 6e.201"),
        (BASE, np.arange(60) < 2.0, "2 rows of positive weight cannot be split into 3 components"),
    ],
)
def test_a_refusal_names_the_place_the_value_and_the_bound(rows, weights, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(rows, sample_weight=weights)


def test_a_singular_covariance_is_told_with_value_and_remedy():
    with pytest.raises(ValueError, match=r"component 0 is not positive definite \(smallest eigenvalue .*reg_covar"):
        GaussianMixture(1, reg_covar=0).fit(np.c_[BASE, BASE[:, 0]])


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job on rows.npy as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text("{data: {path: rows.npy}, output: {directory: run, report: false}}")
    return tmp_path


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("name", "covariance_type"),
    [
        ("two distinct rows", "full"),
        ("one dimension constant", "full"),
        ("one dimension constant", "diag"),
        ("all rows equal", "tied"),
        ("1e130", "spherical"),
        ("truths", "full"),
    ],
)
def test_a_job_fits_what_the_estimator_fits(job, name, covariance_type):
    np.save("rows.npy", TROUBLE[name])
    run("fit", "job.yaml", "model.n_components=3", f"model.covariance_type={covariance_type}")
    model = load_model("run")
    assert np.isfinite(model.mixture.covariances).all()
    assert model.summary.stop_reason in [one.value for one in StopReason]


@pytest.mark.parametrize("name", ["1e150", "mixed scales", "largest floats", "not finite", "one row far away"])
def test_a_job_refuses_what_the_estimator_refuses(job, name):
    np.save("rows.npy", TROUBLE[name])
    line = refused("fit", "job.yaml", "model.n_components=3", code=3)
    assert str(outcome(TROUBLE[name], n_components=3)).partition(":")[0] in line
    assert not (job / "run").exists()


def test_weights_that_are_all_zero_on_a_chunk_are_no_trouble_and_all_zero_are_refused(job):
    np.save("rows.npy", np.tile(BASE, (5, 1)))
    np.save("w.npy", np.where(np.arange(300) < 100, 0.0, 1.0))
    run("fit", "job.yaml", "model.n_components=2", "data.weights=w.npy", "compute.chunk_bytes=1200")
    assert load_model("run").summary.weight_sum == 200
    np.save("w.npy", np.zeros(300))
    arguments = ("fit", "job.yaml", "data.weights=w.npy", "output.directory=other")
    assert "there are no rows of positive weight" in refused(*arguments, code=3)


def test_rows_of_tiny_weights_that_overflow_float32_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^sums over the rows are 0 or not finite: .* compute in float64"):
        GaussianMixture(1, reg_covar=0.0, dtype="float32").fit(np.array([[0.0], [1e10]]), sample_weight=[1.0, 1e-300])
