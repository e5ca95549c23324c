"""Two runs as one model, against the fit to the rows of both."""

import numpy as np
import pytest

from daskgmm import BayesianGaussianMixture, GaussianMixture, merge_runs
from daskgmm.errors import ConfigurationError, DataError
from tests.cli.test_commands import run


def draw(n, seed):
    rng = np.random.default_rng(seed)
    centre = np.array([[0, 0], [4, 1], [0, 6]])[rng.integers(3, size=n)]
    return centre + rng.normal(size=(n, 2)) * (1, 0.7)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 0), ("b", 1)):
        np.save(f"{name}.npy", draw(800, seed))
        (tmp_path / f"{name}.yaml").write_text(
            f"data: {{path: {name}.npy}}\nmodel: {{n_components: 3}}\nfit: {{tol: 1.0e-8, random_state: {seed}}}\n"
            f"output: {{directory: {name}, labels: false, report: false}}\n"
        )
    return tmp_path


def test_two_runs_are_close_to_the_fit_to_all_rows(folder):
    run("fit", "a.yaml")
    run("fit", "b.yaml")
    rows = np.concatenate([np.load("a.npy"), np.load("b.npy")])
    merged, refit = merge_runs("a", "b"), GaussianMixture(3, tol=1e-8, random_state=0).fit(rows)
    assert 0 <= refit.score(rows) - merged.estimator.score(rows) < 1e-3
    assert merged.summary.log_likelihood <= merged.estimator.score(rows) + 1e-12
    assert merged.summary.weight_sum == len(rows)
    assert merged.estimator.get_params()["tol"] == 1e-8
    new = draw(200, 2)
    assert merged.estimator.update(new).score(new) == pytest.approx(refit.score(new), abs=0.02)
    assert merged.predict(new).shape == (200,)


def test_rows_that_both_have_seen_are_refused_unless_wanted(folder):
    run("fit", "a.yaml")
    run("fit", "a.yaml", "output.directory=again", "compute.chunk_bytes=4000")
    with pytest.raises(DataError, match="repeat=True"):
        merge_runs("a", "again")
    assert merge_runs("a", "again", repeat=True).summary.weight_sum == 1600


@pytest.mark.parametrize(
    "parameters",
    [{"covariance_type": "tied"}, {"covariance_type": "VEI", "prior": "default"}, {"missing": "marginal"}, None],
    ids=["tied", "map", "missing", "variational"],
)
def test_the_same_statistics_twice_give_the_same_model(tmp_path, parameters):
    rows = draw(300, 3)
    model = BayesianGaussianMixture(n_components=3, tol=1e-9, mean_prior=[1, 2], covariance_prior=np.eye(2))
    if parameters is not None:
        model = GaussianMixture(3, tol=1e-9, **parameters)
        rows[::9, 1] = np.nan if "missing" in parameters else rows[::9, 1]
    model.set_params(random_state=0).fit(rows).save(tmp_path / "model.zarr")
    merged = merge_runs(tmp_path / "model.zarr", tmp_path / "model.zarr")
    exact = parameters is not None and "prior" not in parameters
    np.testing.assert_allclose(merged.mixture.means, model.means_, atol=1e-3 if exact else 0.1)
    assert merged.summary.weight_sum == 600
    if exact:
        assert merged.summary.log_likelihood >= model.lower_bound_ - 1e-12


def save_two(tmp_path, first, second, **parameters):
    """Fit models to two arrays, the second from other seeds and with components in another order; return all rows."""
    GaussianMixture(3, tol=1e-8, random_state=0, **parameters).fit(first).save(tmp_path / "first")
    GaussianMixture(3, tol=1e-8, random_state=3, **parameters).fit(second).save(tmp_path / "second")
    return np.concatenate([first, second])


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("noise", "missing"), [(True, "error"), (True, "marginal"), (200.0, "error")], ids=["box", "missing", "volume"]
)
def test_noise_of_two_runs_has_the_box_of_both_and_their_weight(tmp_path, noise, missing):
    scattered = np.random.default_rng(9).uniform(-8, 12, (160, 2))
    first, second = np.concatenate([draw(800, 0), scattered[:60]]), np.concatenate([draw(800, 1), 1.2 * scattered[60:]])
    if missing == "marginal":
        first[::7, 0] = second[::5, 1] = np.nan
    rows = save_two(tmp_path, first, second, noise=noise, missing=missing)
    merged = merge_runs(tmp_path / "first", tmp_path / "second")
    refit = GaussianMixture(3, tol=1e-8, random_state=0, noise=noise, missing=missing).fit(rows)
    assert merged.summary.log_likelihood <= merged.estimator.score(rows) + 1e-12
    assert -1e-9 < refit.score(rows) - merged.estimator.score(rows) < 5e-3
    assert merged.mixture.noise.weight == pytest.approx(refit.noise_weight_, abs=5e-3)
    assert merged.mixture.weights.sum() + merged.mixture.noise.weight == pytest.approx(1)
    if noise is True:
        np.testing.assert_allclose(merged.mixture.noise.box, [np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)])


@pytest.mark.parametrize("moved", [False, True])
def test_frozen_components_stay_and_must_be_the_same_in_both(tmp_path, moved):
    given = {"means_init": np.array([[0, 0], [4, 1], [0, 6.0]]), "precisions_init": np.array([np.eye(2)] * 3)}
    other = {name: value[[2, 0, 1]].copy() for name, value in given.items()}
    other["means_init"][1] += 1e-3 * moved
    for number, (start, frozen) in enumerate([(given, 0), (other, 1)]):
        GaussianMixture(3, frozen=[frozen], **start).fit(draw(800, number)).save(tmp_path / str(number))
    if moved:
        with pytest.raises(ConfigurationError, match="frozen component 0 has another mean"):
            merge_runs(tmp_path / "0", tmp_path / "1")
        return
    merged = merge_runs(tmp_path / "0", tmp_path / "1").mixture
    np.testing.assert_array_equal(merged.means[0], given["means_init"][0])
    np.testing.assert_allclose(merged.covariances[0], np.eye(2), rtol=1e-12)
    assert merged.frozen == (0,)
    assert abs(merged.means[1] - given["means_init"][1]).max() > 1e-3


def test_components_without_a_counterpart_are_refused(tmp_path):
    rows = draw(200, 5)
    for name, moved in (("one", rows), ("two", rows + 30)):
        GaussianMixture(2, random_state=0).fit(moved).save(tmp_path / name)
    with pytest.raises(DataError, match="has no counterpart"):
        merge_runs(tmp_path / "one", tmp_path / "two")


def test_models_of_different_kinds_are_refused(tmp_path):
    rows = draw(200, 4) / 10  # so dense that noise of a hypervolume of 1 takes few of them
    kinds = [{"n_components": 2}, {"n_components": 3}, {"covariance_type": "diag"}, {"prior": "default"}]
    start = GaussianMixture(2, random_state=0).fit(rows)
    kinds += [
        {"noise": True},
        {"means_init": start.means_, "precisions_init": start.precisions_, "frozen": [0, 1]},
        {"noise": 1.0},
    ]
    for number, one in enumerate(kinds):
        GaussianMixture(**{"n_components": 2, **one}, random_state=0).fit(rows).save(tmp_path / f"{number}.zarr")
    words = ["n_components", "covariance_type", "inference", "noise", "frozen"]
    pairs = [(0, number, word) for number, word in enumerate(words, 1)]
    for first, second, word in [*pairs, (4, 6, "noise cannot be merged: True and hypervolume 1")]:
        with pytest.raises(ConfigurationError, match=word):
            merge_runs(tmp_path / f"{first}.zarr", tmp_path / f"{second}.zarr")
