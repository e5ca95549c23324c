import pickle
import tracemalloc
import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
import zarr
from distributed import Client
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskgmm import GaussianMixture
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.errors import DataError

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
MEANS = np.array([[0.0, 0, 0], [6, 0, 0], [0, 6, 3]])


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.permutation(np.concatenate([rng.normal(size=(200, 3)) + mean for mean in MEANS]))


@pytest.fixture
def model(rows):
    return GaussianMixture(3, random_state=0).fit(rows)


def assert_same_fit(found, expected, rtol=1e-8):
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=rtol, atol=1e-10)


def counting(array):
    """Return a lazy array like `array`, and a list that grows by each block that is read."""
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(array, chunks=(250, array.shape[1])).map_blocks(read, meta=np.empty((0, 0)))
    return lazy, reads


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_numpy_in_numpy_out(rows, covariance_type):
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)
    labels, probabilities, log_density = fitted.predict(rows), fitted.predict_proba(rows), fitted.score_samples(rows)
    assert all(isinstance(one, np.ndarray) for one in (labels, probabilities, log_density))
    assert sorted(np.bincount(labels) > 150) == [True] * 3
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)
    assert fitted.score(rows) == pytest.approx(log_density.mean())
    assert fitted.score(rows) == pytest.approx(fitted.lower_bound_, rel=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_attributes_are_scikit_learns(rows, covariance_type):
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)
    reference = SklearnGaussianMixture(
        3,
        covariance_type=covariance_type,
        weights_init=fitted.weights_,
        means_init=fitted.means_,
        precisions_init=fitted.precisions_,
        tol=1e-6,
        reg_covar=0,
    ).fit(rows)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(fitted, name).shape == getattr(reference, name).shape
        np.testing.assert_allclose(getattr(fitted, name), getattr(reference, name), rtol=0.05, atol=0.05)
    assert fitted.converged_
    assert fitted.n_features_in_ == 3
    assert fitted.n_iter_ >= max(len(fitted.lower_bounds_) - 1, 1)  # steps that gained nothing are counted too
    assert fitted.bic(rows) == pytest.approx(reference.bic(rows), rel=1e-4)
    assert fitted.aic(rows) == pytest.approx(reference.aic(rows), rel=1e-4)


def test_dask_in_lazy_dask_out_with_the_same_chunks_and_nothing_read(rows, model):
    lazy, reads = counting(rows)
    results = [model.predict(lazy), model.predict_proba(lazy), model.score_samples(lazy)]
    assert reads == []
    assert [one.chunks for one in results] == [((250, 250, 100),), ((250, 250, 100), (3,)), ((250, 250, 100),)]
    for found, expected in zip(
        results, (model.predict(rows), model.predict_proba(rows), model.score_samples(rows)), strict=True
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize(
    "kind", ["chunks", "chunked columns", "unknown chunks", "frame", "zarr", "list", "fortran", "pandas"]
)
def test_every_input_gives_the_fit_of_numpy(rows, model, kind, tmp_path):
    pd = pytest.importorskip("pandas")
    match kind:
        case "chunks":
            data = da.from_array(rows, chunks=(250, 3))
        case "chunked columns":
            data = da.from_array(rows, chunks=(250, 2))
        case "unknown chunks":
            data = da.from_array(rows, chunks=(250, 3))
            data = data[data[:, 0] > -100]
        case "frame":
            dd = pytest.importorskip("dask.dataframe")
            data = dd.from_pandas(pd.DataFrame(rows, columns=["a", "b", "c"]), npartitions=3)
        case "zarr":
            data = zarr.create_array(str(tmp_path / "rows.zarr"), data=rows, chunks=(100, 2))
        case "list":
            data = rows.tolist()
        case "fortran":
            data = np.asfortranarray(rows)
        case "pandas":
            data = pd.DataFrame(rows, columns=["a", "b", "c"])
    fitted = GaussianMixture(3, random_state=0).fit(data)
    assert_same_fit(fitted, model)
    labels = fitted.predict(data)
    labels = labels.compute() if isinstance(labels, da.Array) else labels
    np.testing.assert_array_equal(labels, model.predict(rows))
    assert hasattr(fitted, "feature_names_in_") == (kind in {"frame", "pandas"})


def test_the_users_array_keeps_its_unknown_chunks(rows):
    lazy = da.from_array(rows, chunks=(250, 3))
    lazy = lazy[lazy[:, 0] > 0]
    GaussianMixture(2, random_state=0).fit(lazy)
    assert np.isnan(lazy.chunks[0]).all()


def test_feature_names_are_kept_and_checked(rows):
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    fitted = GaussianMixture(3, random_state=0).fit(dd.from_pandas(frame, npartitions=2))
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    for wrong in (frame[["a", "c", "b"]], dd.from_pandas(frame[["a", "c", "b"]], npartitions=2)):
        with pytest.raises(ValueError, match="feature names"):
            fitted.predict(wrong)


@pytest.mark.parametrize("wrong", [np.zeros((5, 2)), da.zeros((5, 2))])
def test_another_number_of_features_is_refused(model, wrong):
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3 features"):
        model.predict(wrong)


@pytest.mark.parametrize("chunks", [None, {"y": 5}])
def test_xarray_labels_keep_grid_and_coordinates(chunks):
    xr = pytest.importorskip("xarray")
    rng = np.random.default_rng(1)
    grid = rng.normal(size=(12, 20, 2)) + 8 * (np.arange(20) >= 10)[None, :, None]
    coords = {"y": np.arange(12) * 0.5, "x": np.arange(20), "mask": (("y", "x"), np.ones((12, 20)))}
    data = xr.DataArray(grid, dims=("y", "x", "band"), coords=coords | {"band": ["u", "v"]})
    data = data if chunks is None else data.chunk(chunks)
    fitted = GaussianMixture(2, random_state=0).fit(data)
    labels, probabilities = fitted.predict(data), fitted.predict_proba(data)
    assert labels.dims == ("y", "x")
    assert probabilities.dims == ("y", "x", "component")
    assert set(labels.coords) == {"y", "x", "mask"}
    assert isinstance(labels.data, np.ndarray if chunks is None else da.Array)
    assert len(np.unique(labels.values[:, :10])) == 1
    assert len(np.unique(labels.values[:, 10:])) == 1
    dataset = data.assign_coords(band=["u", "v"]).to_dataset("band")
    from_dataset = GaussianMixture(2, random_state=0).fit(dataset)
    assert from_dataset.feature_names_in_.tolist() == ["u", "v"]
    np.testing.assert_array_equal(from_dataset.predict(dataset).values, labels.values)


def test_integer_weights_are_repeated_rows(rows):
    weights = np.random.default_rng(2).integers(0, 4, len(rows))
    start = {"weights_init": np.ones(3) / 3, "means_init": MEANS, "precisions_init": np.stack([np.eye(3)] * 3)}
    weighted = GaussianMixture(3, **start).fit(rows, sample_weight=weights)
    repeated = GaussianMixture(3, **start).fit(np.repeat(rows, weights, axis=0))
    assert_same_fit(weighted, repeated, rtol=1e-9)
    lazily = GaussianMixture(3, **start).fit(
        da.from_array(rows, chunks=(99, 3)), sample_weight=da.from_array(weights, chunks=70)
    )
    assert_same_fit(lazily, repeated, rtol=1e-9)
    assert weighted.score(rows, sample_weight=weights) == pytest.approx(repeated.lower_bound_, rel=1e-9)


def test_score_and_criteria_of_lazy_rows_are_those_of_numpy(rows, model):
    weights = np.random.default_rng(2).integers(0, 4, len(rows))
    lazy = da.from_array(rows, chunks=(250, 3))
    unknown = lazy[lazy[:, 0] > -100]
    for data in (lazy, unknown):
        assert model.score(data) == pytest.approx(model.score(rows), rel=1e-12)
        assert model.bic(data) == pytest.approx(model.bic(rows), rel=1e-12)
    expected = np.average(model.score_samples(rows), weights=weights)
    for form in (weights, da.from_array(weights, chunks=70)):
        assert model.score(lazy, sample_weight=form) == pytest.approx(expected, rel=1e-12)


def test_negative_weights_are_refused(rows):
    weights = np.ones(len(rows))
    weights[17] = -1
    with pytest.raises(ValueError, match=r"the first \(-1\.0\) of row 17"):
        GaussianMixture(3).fit(rows, sample_weight=weights)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("one", [False, True])
def test_score_and_criteria_refuse_the_weights_that_a_fit_refuses(rows, model, wrong, one):
    weights = np.where(np.arange(600) == 7, wrong, 1.0) if one else wrong
    for method in (model.score, model.bic, GaussianMixture(3).fit):
        with pytest.raises(ValueError, match="weight"):
            method(rows, sample_weight=weights)


@pytest.mark.parametrize(
    ("data", "weights", "message"),
    [
        (lambda rows: rows, np.ones(50), r"shape \(50,\), but the rows have \(600,\)"),
        (lambda rows: rows, np.zeros(600), "the weights of all 600 rows are 0"),
        (lambda rows: da.from_array(rows)[:0], None, "no rows to score"),
    ],
)
def test_a_score_of_nothing_is_refused(rows, model, data, weights, message):
    with pytest.raises(DataError, match=message):
        model.score(data(rows), sample_weight=weights)


def test_a_weighted_score_is_the_mean_of_repeated_rows(rows, model):
    counts = np.arange(600) % 3
    repeated = np.repeat(rows, counts, axis=0)
    for method in (model.score, model.aic, model.bic, model.aicc, model.icl):
        assert method(rows, sample_weight=counts) == pytest.approx(method(repeated), rel=1e-10)
    assert model.score(rows, sample_weight=3.5) == pytest.approx(model.score(rows), rel=1e-12)


def test_weights_and_rows_of_one_frame_of_unknown_lengths_are_scored(rows, model):
    frame = dd.from_pandas(pd.DataFrame(rows, columns=["a", "b", "c"]).assign(w=np.arange(600) % 3), npartitions=3)
    found = model.score(frame[["a", "b", "c"]].to_dask_array(), sample_weight=frame["w"])
    assert found == pytest.approx(np.average(model.score_samples(rows), weights=np.arange(600) % 3))


def test_icl_is_bic_and_twice_the_entropy(rows, model):
    resp = model.predict_proba(rows)
    entropy = -(resp * np.log(np.clip(resp, 1e-300, None))).sum()
    assert model.icl(rows) == pytest.approx(model.bic(rows) + 2 * entropy)
    p, n = model._n_parameters(), len(rows)
    assert model.aicc(rows) == pytest.approx(model.aic(rows) + 2 * p * (p + 1) / (n - p - 1))


def test_given_parameters_are_where_the_fit_starts(rows):
    precisions = np.stack([np.eye(3)] * 3)
    fitted = GaussianMixture(
        3, weights_init=np.ones(3) / 3, means_init=MEANS, precisions_init=precisions, max_iter=0
    ).fit(rows)
    np.testing.assert_array_equal(fitted.means_, MEANS)
    np.testing.assert_allclose(fitted.precisions_, precisions)


def test_more_rows_than_the_sample_are_fitted_from_it(rows):
    many = np.tile(rows, (5, 1))
    fitted = GaussianMixture(3, sample_size=500, n_finalists=2, random_state=0).fit(
        da.from_array(many, chunks=(999, 3))
    )
    np.testing.assert_allclose(np.sort(fitted.weights_), 1 / 3, atol=0.05)


def test_merely_max_iter_warns_and_warm_start_goes_on(rows):
    means = rows[:3]
    fitted = GaussianMixture(3, means_init=means, n_init=1, max_iter=1, tol=1e-9, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        fitted.fit(rows)
    first = fitted.lower_bound_
    assert fitted.n_iter_ == 1
    fitted.set_params(max_iter=500).fit(rows)
    assert fitted.converged_
    assert fitted.lower_bound_ > first
    whole = GaussianMixture(3, means_init=means, n_init=1, max_iter=500, tol=1e-9, random_state=0).fit(rows)
    assert fitted.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "columns", "message"),
    [
        ({"n_components": 4}, 3, "n_components is 3, but it is 4 now"),
        ({"covariance_type": "diag"}, 3, "covariance_type is full, but it is diag now"),
        ({}, 2, "number of features is 3, but it is 2 now"),
    ],
)
def test_warm_start_with_another_model_is_refused(rows, changed, columns, message):
    fitted = GaussianMixture(3, warm_start=True, random_state=0).fit(rows).set_params(**changed)
    with pytest.raises(ValueError, match=message):
        fitted.fit(rows[:, :columns])


def test_a_fitted_model_predicts_the_same_after_its_parameters_are_set(model, rows):
    labels = model.predict(rows)
    np.testing.assert_array_equal(model.set_params(covariance_type="diag", n_components=2).predict(rows), labels)


def test_a_warm_start_on_other_rows_counts_no_old_log_likelihood():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) * [3, 0.5]
    fitted = GaussianMixture(1, warm_start=True).fit(first).fit(second)
    np.testing.assert_allclose(fitted.covariances_[0], np.cov(second.T, bias=True), rtol=1e-9)
    assert fitted.lower_bounds_[0] < fitted.lower_bounds_[-1] == pytest.approx(fitted.score(second))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_to_and_from_scikit_learn_predict_the_same(rows, covariance_type):
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)
    there = fitted.to_sklearn()
    assert isinstance(there, SklearnGaussianMixture)
    back = GaussianMixture.from_sklearn(there)
    for other in (there, back):
        np.testing.assert_allclose(other.predict_proba(rows), fitted.predict_proba(rows), atol=1e-12)
        np.testing.assert_allclose(other.score_samples(rows), fitted.score_samples(rows), rtol=1e-12)
        np.testing.assert_array_equal(other.predict(rows), fitted.predict(rows))


def test_clone_and_pickle(model, rows):
    assert clone(model).get_params() == model.get_params()
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(rows), model.predict(rows))
    assert "GaussianMixture" in model._repr_html_()


def test_sample_follows_the_mixture(model):
    drawn, labels = model.sample(20_000)
    np.testing.assert_allclose(np.bincount(labels) / 20_000, model.weights_, atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=0), model.weights_ @ model.means_, atol=0.1)


def test_fit_predict_agrees_with_predict(rows):
    estimator = GaussianMixture(3, random_state=0)
    np.testing.assert_array_equal(estimator.fit_predict(rows), estimator.predict(rows))


def test_pipeline_and_grid_search(rows):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        {"gaussianmixture__n_components": [1, 3]},
        cv=3,
    ).fit(rows)
    assert search.best_params_ == {"gaussianmixture__n_components": 3}


@pytest.mark.slow
def test_weights_are_routed_through_a_pipeline(rows):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        estimator = GaussianMixture(3, random_state=0).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        weights = (rows[:, 0] < 3).astype(float)
        routed = pipeline.fit(rows, sample_weight=weights)[-1]
    scaled = StandardScaler().fit_transform(rows)
    assert_same_fit(routed, GaussianMixture(3, random_state=0).fit(scaled, sample_weight=weights))


def test_the_active_client_computes(rows, model):
    lazy = da.from_array(rows, chunks=(250, 3))
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        fitted = GaussianMixture(3, random_state=0).fit(lazy)
        ran = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        from_memory = GaussianMixture(3, random_state=0).fit(rows)
    assert ran > 0
    assert_same_fit(from_memory, model)
    np.testing.assert_array_equal(fitted.means_, GaussianMixture(3, random_state=0).fit(lazy).means_)


def test_without_a_client_threads_compute(rows):
    with dask.config.set(scheduler="synchronous"):
        alone = GaussianMixture(3, random_state=0).fit(rows)
    np.testing.assert_array_equal(alone.means_, GaussianMixture(3, random_state=0).fit(rows).means_)


def test_verbose_prints_iterations(rows, capsys):
    GaussianMixture(3, random_state=0, verbose=2).fit(rows)
    assert "iteration   1  log-likelihood" in capsys.readouterr().out


def test_nothing_is_predicted_before_a_fit(rows):
    with pytest.raises(NotFittedError):
        GaussianMixture().predict(rows)


def test_a_collapse_without_reg_covar_says_what_to_do():
    rows = np.concatenate([np.zeros((10, 2)), np.ones((10, 2))])
    with pytest.raises(ValueError, match="increase reg_covar"):
        GaussianMixture(2, reg_covar=0, resolution=0).fit(rows)


def test_one_axis_is_refused_with_its_shape():
    with pytest.raises(ValueError, match="along the last axis"):
        GaussianMixture().fit(da.zeros(10, chunks=5))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fit_of_numpy_rows_makes_no_copy_of_them(dtype):
    rows = np.random.default_rng(3).normal(size=(1_000_000, 8)).astype(dtype)
    estimator = GaussianMixture(2, sample_size=1000, max_iter=2, random_state=0)
    clone(estimator).set_params(max_iter=100).fit(rows[:5000])  # so that kernels are compiled or loaded before
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows.nbytes / 2


def test_joblib_keeps_a_fit(model, rows, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(rows), model.predict(rows))


def test_few_rows_get_ten_restarts_by_default_and_many_get_four():
    model, options = ModelOptions(n_components=3), FitOptions()
    assert [options.n_restarts(model, n, 10) for n in (333, 334)] == [10, 4]
    assert FitOptions(n_init=2).n_restarts(model, 10, 10) == 2
    rows = np.random.default_rng(0).normal(size=(60, 2))
    default, ten = (GaussianMixture(2, random_state=0, **options).fit(rows) for options in ({}, {"n_init": 10}))
    np.testing.assert_array_equal(default.means_, ten.means_)


def test_many_rows_with_a_column_that_others_add_up_to_are_fitted_as_closely_from_all_seeds():
    """Starts in float32 would not resolve the direction without width, and EM would end below the floor there."""
    rng = np.random.default_rng(0)
    rows = 2 * rng.normal(size=(5, 8))[rng.integers(5, size=25_000)] + rng.normal(size=(25_000, 8))
    rows[:, 7] = rows[:, 0] + rows[:, 1]
    fits = [GaussianMixture(5, random_state=seed).fit(rows) for seed in (0, 1)]
    assert fits[0].lower_bound_ == pytest.approx(fits[1].lower_bound_, abs=1e-3)
    least = [np.linalg.eigvalsh(one)[0] for fit in fits for one in fit.covariances_]
    assert min(least) > 0.5 * max(least)  # all on the floor
