"""Clusters of components in jobs: beside labels, by `daskgmm merge`, in predictions and in the report."""

import json

import numpy as np
import pytest
import zarr

from daskgmm import GaussianMixture
from daskgmm.storage.formats.clusters import find_clusters
from daskgmm.storage.formats.model import load_model
from tests.cli.test_commands import refused, run


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A directory with a cross and a disc in rows.npy (n x 2) and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arms = rng.standard_normal((400, 2)) * np.where(np.arange(400)[:, None] % 2, (4.0, 0.3), (0.3, 4.0))
    np.save("rows.npy", np.concatenate([arms, rng.standard_normal((200, 2)) + 20]))
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.npy}\nmodel: {n_components: 3}\noutput: {directory: run, report: false}\n"
        "compute: {chunk_bytes: 1600}\n"
    )
    return tmp_path


def clusters_of(path):
    return zarr.open_array(f"{path}/clusters.zarr", path="clusters")[...]


def test_a_fit_writes_clusters_beside_labels_and_draws_the_tree(job):
    run("fit", "job.yaml", "output.clusters=auto", "output.report=true")
    tree = json.loads((job / "run/clusters.json").read_text())
    labels, clusters = zarr.open_array("run/labels.zarr", path="labels")[...], clusters_of("run")
    assert tree["n_clusters"] == tree["elbow"] == 2
    assert set(clusters) == {0, 1}
    assert (clusters == np.array(tree["clusters"])[labels]).mean() > 0.95  # all but where two of three share a row
    assert "Clusters of components" in (job / "run/report.html").read_text()


def test_merge_gives_what_the_estimator_gives_and_predict_uses_its_tree(job):
    run("fit", "job.yaml")
    out = run("merge", "run").output
    assert "3 components in 2 clusters" in out
    model, rows = load_model("run"), np.load("rows.npy")
    estimator = GaussianMixture(3)
    estimator._set_mixture(model.mixture)
    merged = estimator.merge_components(rows)
    np.testing.assert_array_equal(clusters_of("run/clusters"), merged.predict(rows))
    np.save("others.npy", rows[:7])
    out = run("predict", "run", "data.path=others.npy", "output.clusters=1").output
    assert "merge:" not in out
    assert clusters_of("run/predictions").tolist() == [0] * 7
    assert find_clusters(job / "run", model).tree.entropies == pytest.approx(merged.entropies)


def test_clusters_of_another_model_are_not_taken_for_those_of_the_run(job):
    run("fit", "job.yaml")
    run("merge", "run", "output.clusters=3")
    run("fit", "job.yaml", "fit.random_state=5", "model.covariance_type=diag", "--overwrite")
    assert find_clusters(job / "run", load_model("run")) is None


def test_more_clusters_than_components_are_refused_before_the_fit(job):
    assert "4 clusters of 3 components" in refused("fit", "job.yaml", "output.clusters=4", code=2)
    assert not (job / "run").exists()


def test_damaged_merges_are_named(job):
    run("fit", "job.yaml", "output.clusters=2")
    file = job / "run/clusters.json"
    document = json.loads(file.read_text())
    document["merges"][0]["first"] = [1, 2]
    file.write_text(json.dumps(document))
    assert "clusters.json is damaged" in refused("report", "run", code=3)
