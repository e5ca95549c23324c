"""mclust's families through the estimator, the selector, sweeps and the command line."""

import json

import dask.array as da
import joblib
import numpy as np
import pytest
import zarr
from sklearn.datasets import load_iris

from daskgmm import GaussianMixture, GaussianMixtureSelector, load_model
from daskgmm.config import load_config
from daskgmm.core.em.fitted_model import FitSummary, Model
from daskgmm.core.kernels.natural_parameters import prepare_prediction
from daskgmm.core.mixture.covariance import FAMILIES, STRUCTURES
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.prediction import PredictionOutputs, predict
from daskgmm.errors import ConfigurationError
from daskgmm.events import Iteration
from daskgmm.jobs.fit import fit
from daskgmm.storage.formats.export import as_json, as_onnx, as_sklearn
from tests.cli.test_commands import refused, run
from tests.clusters.processes import assert_same_bits

IRIS = load_iris().data
TWINS = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}


def fitted(name, k=3, **options):
    return GaussianMixture(k, covariance_type=name, random_state=0, n_init=1, **options).fit(IRIS)


@pytest.mark.parametrize("name", FAMILIES)
def test_covariances_and_precisions_have_the_shape_of_the_family(name):
    model = fitted(name)
    shape = {"EII": (3,), "VII": (3,), "EEE": (4, 4)}.get(name, (3, 4) if name[2] == "I" else (3, 4, 4))
    assert model.covariances_.shape == model.precisions_.shape == model.precisions_cholesky_.shape == shape
    if len(shape) > 1 and shape[-1] == shape[-2]:
        np.testing.assert_allclose(model.covariances_ @ model.precisions_, np.broadcast_to(np.eye(4), shape), atol=1e-9)
    else:
        np.testing.assert_allclose(model.covariances_ * model.precisions_, 1)
    assert model.lower_bound_ == pytest.approx(model.score(IRIS), abs=1e-10)


@pytest.mark.parametrize(("alias", "name"), TWINS.items())
def test_both_names_of_a_family_give_the_same_model(alias, name):
    np.testing.assert_array_equal(fitted(alias).covariances_, fitted(name).covariances_)


@pytest.mark.parametrize("name", ["EII", "VEI", "VEE", "VVE", "EEV"])
def test_given_parameters_are_where_a_fit_starts(name):
    once = fitted(name, tol=1e-8)
    again = GaussianMixture(
        3,
        covariance_type=name,
        weights_init=once.weights_,
        means_init=once.means_,
        precisions_init=once.precisions_,
        max_iter=2,
    ).fit(IRIS)
    assert again.lower_bounds_[0] == pytest.approx(once.lower_bound_, abs=1e-9)
    again.set_params(warm_start=True, covariance_type=name).fit(IRIS)
    assert again.lower_bound_ >= once.lower_bound_ - 1e-9


def test_a_warm_start_takes_the_other_name_of_its_family_and_no_other_family():
    model = fitted("full", k=2, warm_start=True)
    model.set_params(covariance_type="VVV").fit(IRIS)
    with pytest.raises(ConfigurationError, match="covariance_type"):
        model.set_params(covariance_type="EVV").fit(IRIS)


def test_e_and_v_are_for_one_feature():
    one = IRIS[:, 2:3]
    equal, own = (GaussianMixture(2, covariance_type=name, random_state=0).fit(one) for name in "EV")
    assert equal.covariances_[0] == equal.covariances_[1]
    assert own.covariances_[0] != own.covariances_[1]
    assert own.lower_bound_ > equal.lower_bound_
    with pytest.raises(ConfigurationError, match="covariance_type V is for one feature, but there are 4: take VII"):
        GaussianMixture(2, covariance_type="V").fit(IRIS)


@pytest.mark.parametrize("name", ["EII", "EEI", "VEI", "EVE", "VEV"])
def test_chunks_and_schedulers_give_the_same_bits(name):
    rows = da.from_array(IRIS, chunks=(40, 4))
    options = {"covariance_type": name, "random_state": 0, "n_init": 1, "sample_size": 60, "max_iter": 3, "tol": 1e-9}
    with pytest.warns():  # it has not converged
        first = GaussianMixture(3, **options).fit(rows)
    with da.core.config.set(scheduler="synchronous"), pytest.warns():
        second = GaussianMixture(3, **options).fit(rows)
    for attribute in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(first, attribute), getattr(second, attribute))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", FAMILIES)
def test_integer_weights_fit_as_repeated_rows_do(name):
    times = np.random.default_rng(0).integers(1, 4, len(IRIS))
    given = {
        "weights_init": np.full(2, 0.5),
        "means_init": IRIS[[0, 100]],
        "precisions_init": np.linalg.inv(np.cov(IRIS.T)),
    }
    layout = STRUCTURES[name].layout.name
    whole = given["precisions_init"]
    variances = 1 / IRIS.var(axis=0)
    forms = {"full": np.array([whole] * 2), "tied": whole, "diag": np.array([variances] * 2)}
    given["precisions_init"] = forms.get(layout, np.full(2, variances.min()))
    model = GaussianMixture(2, covariance_type=name, tol=1e-8, max_iter=500, **given)
    weighted = model.fit(IRIS, sample_weight=times.astype(float)).lower_bound_
    repeated = model.fit(np.repeat(IRIS, times, axis=0)).lower_bound_
    assert weighted == pytest.approx(repeated, rel=1e-6)


@pytest.mark.slow
def test_a_sweep_over_all_families_names_each_once_and_ranks_them():
    selector = GaussianMixtureSelector((1, 2, 3), covariance_type="all", random_state=0).fit(IRIS)
    assert set(selector.results_["covariance_type"]) == set(FAMILIES)
    assert len(selector.results_["covariance_type"]) == 3 * 14
    assert selector.best_params_ == {"n_components": 2, "covariance_type": "VEV"}  # mclust's choice
    assert selector.best_score_ <= 561.7285
    assert GaussianMixtureSelector((2,), covariance_type=["E*I", "tied"]).fit(IRIS).best_params_["n_components"] == 2


@pytest.fixture(scope="module")
def vve(tmp_path_factory):
    """The directory of a run of VVE on iris, with its configuration."""
    directory = tmp_path_factory.mktemp("families")
    np.save(directory / "rows.npy", IRIS)
    (directory / "job.yaml").write_text(
        f"data: {{path: {directory}/rows.npy}}\nmodel: {{n_components: 3, covariance_type: VVE}}\n"
        f"fit: {{tol: 1.0e-9, max_iter: 8, n_init: 2, sample_size: 50}}\ncompute: {{chunk_bytes: 1600}}\n"
        f"output: {{directory: {directory}/run, report: false}}\n"
    )
    run("fit", str(directory / "job.yaml"))
    return directory


def test_a_model_is_kept_exported_and_compared(vve):
    model = load_model(vve / "run")
    assert model.mixture.covariance_type == "VVE"
    ours = predict(IRIS, None, prepare_prediction(model.mixture), 3, PredictionOutputs(probabilities=True))
    np.testing.assert_array_equal(zarr.open_array(vve / "run" / "labels.zarr", path="labels")[...], ours.labels)
    np.testing.assert_array_equal(json.loads(as_json(model))["covariances"], model.mixture.covariances)
    (vve / "model.joblib").write_bytes(as_sklearn(model))
    estimator = joblib.load(vve / "model.joblib")
    assert estimator.covariance_type == "full"
    np.testing.assert_allclose(estimator.predict_proba(IRIS), ours.probabilities, atol=1e-9)
    assert "VVE" in run("compare", str(vve / "run"), str(vve / "run")).output


@pytest.mark.parametrize("name", ["EII", "EEI", "VVE"])
def test_onnxruntime_and_scikit_learn_predict_the_same(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    estimator = fitted(name)
    mixture = Mixture(name, estimator.weights_, estimator.means_, estimator.covariances_)
    model = Model(mixture, None, FitSummary(-1.0, 150.0, 1.0, 2.0, 3.0, 4, True, "converged"))
    session = onnxruntime.InferenceSession(as_onnx(model), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"rows": IRIS})
    np.testing.assert_array_equal(labels[:, 0], estimator.predict(IRIS))
    np.testing.assert_allclose(probabilities, estimator.predict_proba(IRIS), atol=1e-5)
    other = estimator.to_sklearn()
    np.testing.assert_allclose(other.predict_proba(IRIS), estimator.predict_proba(IRIS), atol=1e-9)
    assert other.covariance_type == mixture.structure.layout.name


@pytest.mark.parametrize("iteration", [1, 3])
def test_an_interrupted_fit_goes_on_to_the_same_bits(vve, iteration):
    def interrupt(event):
        if isinstance(event, Iteration) and event.iteration >= iteration:
            raise KeyboardInterrupt

    other = f"output.directory={vve}/again{iteration}"
    with pytest.raises(KeyboardInterrupt):
        fit(load_config(str(vve / "job.yaml"), (other,)), interrupt)
    fit(load_config(str(vve / "job.yaml"), (other,)), lambda event: None, resume=True)
    assert_same_bits(load_model(vve / "run"), load_model(vve / f"again{iteration}"))


def test_a_configuration_takes_patterns_and_refuses_what_fits_none(vve):
    swept = f"output.directory={vve}/swept"
    found = run(
        "select", str(vve / "job.yaml"), swept, "select.covariance_type=[V*I, tied]", "select.n_components=1..2"
    )
    assert "best of 8 candidates" in found.output
    assert "'X*'" in refused("select", str(vve / "job.yaml"), swept, "select.covariance_type=[X*]", code=2)
