"""The noise component through the estimator, the selector, jobs and files, beside what mclust reaches with it."""

import json

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy.stats import multivariate_normal

from daskgmm import GaussianMixture, GaussianMixtureSelector, load_model
from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.jobs.fit import fit
from daskgmm.jobs.select import select
from daskgmm.storage.formats.export import as_json, as_onnx, as_sklearn
from tests import oracles
from tests.cli.test_commands import run
from tests.references.answers import Folder

REFERENCE = Folder().fits("noise")
ROWS = Folder().rows("data/faithful_noisy.csv")
VOLUME = 1 / REFERENCE[0]["Vinv"]


def noisy(k=2, **options):
    return GaussianMixture(k, **{"noise": True, "random_state": 0, "n_init": 2, **options})


@pytest.mark.parametrize("family", ["VVV", "EEE", "VVI", "EII", "VVE"])
def test_its_own_starts_end_no_lower_than_mclust(family):
    model = noisy(2, covariance_type=family, noise=VOLUME, n_init=4, resolution=0).fit(ROWS)
    known = next(one for one in REFERENCE if (one["model"], one["G"]) == (family, 2))
    assert model.lower_bound_ * len(ROWS) >= known["loglik"] - 2e-3


@pytest.mark.parametrize("family", ["full", "tied", "diag", "EII"])
def test_densities_and_probabilities_are_those_of_the_equations(family):
    model = noisy(2, covariance_type=family).fit(ROWS)
    dense = {
        "tied": lambda c: [c, c],
        "diag": lambda c: map(np.diag, c),
        "EII": lambda c: [one * np.eye(2) for one in c],
    }
    covariances = dense.get(family, list)(model.covariances_)
    joint = [
        weight * multivariate_normal(mean, covariance).pdf(ROWS)
        for weight, mean, covariance in zip(model.weights_, model.means_, covariances, strict=True)
    ]
    joint = np.array([*joint, np.full(len(ROWS), model.noise_weight_ / np.prod(np.ptp(ROWS, axis=0)))]).T
    np.testing.assert_allclose(model.score_samples(ROWS), np.log(joint.sum(axis=1)))
    np.testing.assert_allclose(model.predict_proba(ROWS), joint / joint.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(model.predict(ROWS), [0, 1, -1] @ np.eye(3)[joint.argmax(axis=1)].T)
    assert model.lower_bound_ == pytest.approx(model.score(ROWS), abs=1e-10)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1)


def test_chunks_and_schedulers_give_the_same_bits_and_rows_weigh_as_copies_do():
    lazy = da.from_array(ROWS, chunks=(100, 2))
    one, other = noisy().fit(lazy), noisy().fit(da.from_array(ROWS, chunks=(100, 2)))
    np.testing.assert_array_equal(one.means_, other.means_)
    assert one.noise_weight_ == other.noise_weight_
    doubled = noisy().fit(ROWS, sample_weight=np.full(len(ROWS), 2.0))
    np.testing.assert_allclose(doubled.means_, noisy().fit(ROWS).means_, rtol=1e-6)
    assert one.predict_proba(lazy).chunks == (lazy.chunks[0], (3,))


def test_far_components_take_own_centres_and_the_noise_stays():
    rows = np.concatenate([ROWS, ROWS[:100] / 1e6 + [1e7, 0]])
    model = noisy(3, noise=VOLUME).fit(rows)
    assert model.lower_bound_ == pytest.approx(model.score(rows), abs=1e-6)
    assert 0 < model.noise_weight_ < 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noise": 1e-9}, DataError, "larger hypervolume"),
        ({"noise": True, "weights_init": [0.5, 0.5]}, ValueError, "less than 1"),
        ({"noise": 0.0}, ValueError, "noise"),
        ({"missing": "marginal", "noise": 1.0}, ConfigurationError, "take noise true"),
    ],
)
def test_what_noise_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        noisy(**options).fit(ROWS)


def test_a_constant_column_has_no_box_but_takes_a_volume():
    flat = np.column_stack([ROWS, np.ones(len(ROWS))])
    with pytest.raises(DataError, match="column 2 is constant"):
        noisy().fit(flat)
    model = noisy(noise=VOLUME, covariance_type="diag").fit(flat)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1)


def test_a_warm_start_with_noise_goes_on_and_one_without_is_refused():
    model = noisy(warm_start=True).fit(ROWS)
    level = model.lower_bound_
    assert model.fit(ROWS).lower_bound_ >= level
    with pytest.raises(ConfigurationError, match="noise"):
        model.set_params(noise=False).fit(ROWS)


def test_a_selector_compares_models_with_and_without_noise():
    selector = GaussianMixtureSelector([1, 2, 3], covariance_type="full", noise=[False, True], random_state=0).fit(ROWS)
    assert selector.best_params_ == {"n_components": 2, "covariance_type": "full", "noise": True}
    assert selector.results_["name"][3:] == ["full+noise-1", "full+noise-2", "full+noise-3"]
    assert set(selector.elbow_) == {"full", "full+noise"}
    assert selector.best_estimator_.noise is True
    assert -1 in selector.predict(ROWS)


CONFIG = """
data: {{path: {path}}}
model: {{n_components: 2, noise: true}}
output: {{directory: {directory}, probabilities: true, log_density: true, report: false}}
"""


def config(folder, *overrides, source="rows.npy"):
    np.save(folder / "rows.npy", ROWS)
    np.savetxt(folder / "rows.csv", ROWS, delimiter=",", header="a,b", comments="")
    return parse_config(CONFIG.format(path=folder / source, directory=folder / "run"), overrides)


def test_a_job_writes_the_noise_to_model_and_results(tmp_path):
    model = fit(config(tmp_path, "output.report=true"))
    again = load_model(tmp_path / "run")
    assert again.mixture.noise == model.mixture.noise
    labels = zarr.open(str(tmp_path / "run" / "labels.zarr"))["labels"]
    assert labels.attrs["flag_values"] == [-2, -1]
    assert labels.attrs["flag_meanings"] == "left_out noise"
    assert (labels[:] == -1).sum() > 10
    probabilities = zarr.open(str(tmp_path / "run" / "probabilities.zarr"))["probabilities"]
    np.testing.assert_allclose(probabilities[:].sum(axis=1), 1, atol=1e-6)
    assert probabilities.shape == (len(ROWS), 3)
    assert "noise" in (tmp_path / "run" / "report.html").read_text()
    assert "noise" in run("inspect", str(tmp_path / "run")).output
    assert "noise" in run("compare", str(tmp_path / "run"), str(tmp_path / "run")).output


def test_a_table_of_results_has_a_last_column_for_the_noise(tmp_path):
    fit(config(tmp_path, "output.top_m=1", source="rows.csv"))
    table = pd.read_parquet(tmp_path / "run" / "results.parquet")
    assert set(table["label"]) == {-1, 0, 1}
    assert (table["component_0"] == table["label"]).all()


def test_exports_say_the_noise_and_that_to_scikit_learn_refuses_it(tmp_path):
    model = fit(config(tmp_path, "output.labels=true"))
    noise = json.loads(as_json(model))["noise"]
    assert noise["weight"] == model.mixture.noise.weight
    with pytest.raises(ConfigurationError, match="export it as json or onnx"):
        as_sklearn(model)


def test_missing_values_and_a_given_hypervolume_are_refused_together(tmp_path):
    for noise in ("model.noise=1.0", "select.noise=[false, 400]"):
        with pytest.raises(ConfigurationError, match="take noise true"):
            config(tmp_path, "data.missing=marginal", "model.noise=false", noise)
    with pytest.raises(ConfigurationError, match="take noise true"):
        GaussianMixtureSelector([1], noise=[True, 400.0], missing="marginal").fit(ROWS)
    with pytest.raises(ConfigurationError, match="take noise true"):
        noisy(noise=VOLUME).fit(ROWS).impute(ROWS)


@pytest.mark.parametrize("family", ["full", "diag", "EEV"])
def test_rows_with_gaps_find_the_noise_of_complete_rows(family):
    rows = ROWS.copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.05] = np.nan
    model = noisy(covariance_type=family, missing="marginal").fit(da.from_array(rows, chunks=(100, 2)))
    complete = noisy(covariance_type=family).fit(ROWS)
    assert model.noise_weight_ == pytest.approx(complete.noise_weight_, abs=0.06)
    assert model.lower_bound_ == pytest.approx(model.score(rows), abs=1e-9)
    assert np.diff(model.lower_bounds_).min(initial=0) >= 0
    agree = (model.predict(rows) == -1) == (complete.predict(ROWS) == -1)
    assert agree[~np.isnan(rows).any(axis=1)].mean() > 0.9


def test_a_saved_estimator_with_noise_is_loaded_as_it_was(tmp_path):
    model = noisy(2).fit(ROWS)
    model.save(tmp_path / "model.zarr")
    again = GaussianMixture.load(tmp_path / "model.zarr")
    assert (again.noise, again.noise_weight_) == (True, model.noise_weight_)
    np.testing.assert_array_equal(again.predict(ROWS), model.predict(ROWS))


@pytest.mark.slow
def test_clusters_of_components_leave_the_noise_as_it_is(tmp_path):
    model = noisy(4).fit(ROWS)
    merged, resp = model.merge_components(ROWS, n_clusters=2), model.predict_proba(ROWS)
    merges, entropies = oracles.merge_by_entropy(resp[:, :4])
    assert [{one.first, one.second} for one in merged.tree.merges] == merges
    np.testing.assert_allclose(merged.entropies - merged.entropies[0], entropies - entropies[0], atol=1e-8)
    probabilities = merged.predict_proba(ROWS)
    expected = np.stack([resp[:, :4][:, merged.clusters == c].sum(axis=1) for c in (0, 1)] + [resp[:, 4]], axis=1)
    np.testing.assert_allclose(probabilities, expected)
    np.testing.assert_array_equal(merged.predict(ROWS), np.array([0, 1, -1])[expected.argmax(axis=1)])
    fit(config(tmp_path, "output.clusters=2", "model.n_components=4"))
    clusters = zarr.open(str(tmp_path / "run" / "clusters.zarr"))["clusters"]
    assert set(np.unique(clusters[:])) == {-1, 0, 1}
    assert clusters.attrs["flag_meanings"] == "left_out noise"


@pytest.mark.parametrize("family", ["full", "tied"])
def test_onnxruntime_predicts_the_same(family):
    pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = noisy(2, covariance_type=family).fit(ROWS)
    session = onnxruntime.InferenceSession(as_onnx(model._model()), providers=["CPUExecutionProvider"])
    far = np.concatenate([ROWS, [[1e3, 1e3]]])
    labels, probabilities, density = session.run(["label", "probabilities", "log_density"], {"rows": far})
    np.testing.assert_array_equal(labels[:, 0], model.predict(far))
    np.testing.assert_allclose(probabilities, model.predict_proba(far), atol=1e-6)
    np.testing.assert_allclose(density[:, 0], model.score_samples(far), atol=1e-6)


def test_a_sweep_takes_noise_from_its_own_section_or_the_models(tmp_path):
    sizes = "select.n_components=[1, 2]"
    _, table = select(config(tmp_path, sizes, "select.covariance_type=[full]", "select.noise=[false, 400]"))
    assert [row.name for row in table.rows] == ["full-1", "full-2", "full+noise:400-1", "full+noise:400-2"]
    assert table.best == "full+noise:400-2"
    assert config(tmp_path, sizes).select.noises == (True,)


def test_a_fit_with_noise_starts_from_a_model_with_noise_only(tmp_path):
    fit(config(tmp_path))
    start = (f"fit.start={tmp_path / 'run'}", f"output.directory={tmp_path / 'other'}")
    with pytest.raises(ConfigurationError, match="noise True there and False here"):
        fit(config(tmp_path, "model.noise=false", *start))
