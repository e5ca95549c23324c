import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from daskgmm.core.prediction import Prediction
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.storage.places import copy_over, place, remove, replace_path, writing
from daskgmm.storage.results import GridLayout, ResultKinds, ZarrWriter, read_result
from daskgmm.storage.run import CONTENT
from daskgmm.storage.schema import labels_spec
from daskgmm.storage.sources.data import Coordinate
from daskgmm.storage.table_results import TableWriter
from daskgmm.storage.unfinished import FOLDER, settle, unfinished

EVERYTHING = ResultKinds(3, labels=True, probabilities=True, log_density=True, threshold=0.5)
LAYOUT = GridLayout(grid=(4, 6), chunks=(2, 6))
REGIONS = [(slice(0, 2), slice(0, 6)), (slice(2, 4), slice(0, 6))]
PLAN = {"model": "a", "shape": "4 x 6"}


def prediction(seed, n=12, top=None):
    rng = np.random.default_rng(seed)
    width = top or 3
    components = None if top is None else rng.integers(3, size=(n, top), dtype=np.int32)
    return Prediction(rng.integers(3, size=n, dtype=np.int32), rng.random((n, width)), rng.random(n), components)


@pytest.fixture(params=["local", "memory"])
def directory(request, tmp_path):
    """An output directory on this machine, and one behind an fsspec URL."""
    return place(tmp_path / "run") if request.param == "local" else place(f"memory://{tmp_path.name}/run")


def write_all(directory, kinds, predictions, layout=LAYOUT, attributes=None):
    with unfinished(directory, PLAN, CONTENT, resume=False) as work:
        write = ZarrWriter.create(work, kinds, layout, attributes or {})
        for region, one in zip(REGIONS, predictions, strict=True):
            write(region, one)


def stop_after_one(directory, kinds=EVERYTHING):
    def interrupted():
        with unfinished(directory, PLAN, CONTENT, resume=False) as work:
            ZarrWriter.create(work, kinds, LAYOUT, {})(REGIONS[0], prediction(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_regions_land_where_they_belong(directory):
    predictions = [prediction(0), prediction(1)]
    write_all(directory, EVERYTHING, predictions, attributes={"source": "here"})
    together = {
        name: np.concatenate([getattr(one, name) for one in predictions])
        for name in ("labels", "probabilities", "log_density")
    }
    together["anomaly"] = together["log_density"] < 0.5
    for name, expected in together.items():
        found = read_result(directory, name)
        np.testing.assert_array_equal(found, expected.reshape(4, 6, *expected.shape[1:]).astype(found.dtype))
    assert {one.name for one in directory.iterdir()} == {f"{name}.zarr" for name in together}


def test_arrays_say_their_dimensions_and_who_wrote_them(tmp_path):
    write_all(tmp_path, EVERYTHING, [prediction(0), prediction(1)], attributes={"source": "here", "model": "abc"})
    group = zarr.open_group(tmp_path / "probabilities.zarr", mode="r")
    assert group["probabilities"].metadata.dimension_names == ("axis_0", "axis_1", "component")
    assert group["probabilities"].dtype == np.float32
    assert (group.attrs["source"], group.attrs["model"], group.attrs["daskgmm_kind"]) == (
        "here", "abc", "probabilities",
    )  # fmt: skip


def test_results_open_in_xarray_with_the_coordinates_of_the_source(tmp_path):
    xarray = pytest.importorskip("xarray", reason="needs the package xarray")
    latitude = Coordinate(np.array([10.0, 0.0, -10.0, -20.0]), {"units": "degrees_north"})
    days = Coordinate(np.arange(6), {"units": "days since 2000-01-01"})
    layout = GridLayout((4, 6), (2, 6), ("lat", "time"), {"lat": latitude, "time": days})
    write_all(tmp_path, EVERYTHING, [prediction(0), prediction(1)], layout)
    with xarray.open_zarr(tmp_path / "labels.zarr", consolidated=False) as labels:
        assert labels["labels"].dims == ("lat", "time")
        assert labels["labels"].dtype == np.int8
        np.testing.assert_array_equal(labels["lat"], [10, 0, -10, -20])
        assert str(labels["time"].values[1])[:10] == "2000-01-02"
        assert labels["labels"].sel(lat=-10).shape == (6,)


def test_of_many_components_only_the_most_probable_are_written(tmp_path):
    kinds = ResultKinds(3, labels=False, probabilities=True, top=2)
    predictions = [prediction(0, top=2), prediction(1, top=2)]
    write_all(tmp_path, kinds, predictions)
    group = zarr.open_group(tmp_path / "probabilities.zarr", mode="r")
    assert group["probabilities"].shape == group["components"].shape == (4, 6, 2)
    assert group["components"].dtype == np.int8
    expected = np.concatenate([one.components for one in predictions]).reshape(4, 6, 2)
    np.testing.assert_array_equal(group["components"][...], expected)


def test_a_job_that_finished_nothing_leaves_nothing(directory):
    def fail():
        with unfinished(directory, PLAN, CONTENT, resume=False) as work:
            ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not (directory / FOLDER).exists()


def test_an_interrupted_job_is_gone_on_with(directory):
    stop_after_one(directory)
    assert not (directory / "labels.zarr").exists()
    with unfinished(directory, PLAN, CONTENT, resume=True) as work:
        assert [work.is_done(region) for region in REGIONS] == [True, False]
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        write(REGIONS[1], prediction(1))
    expected = np.concatenate([prediction(0).labels, prediction(1).labels]).reshape(4, 6)
    np.testing.assert_array_equal(read_result(directory, "labels"), expected)
    assert not (directory / FOLDER).exists()


def test_without_resume_a_job_starts_anew(directory):
    stop_after_one(directory)
    with unfinished(directory, PLAN, CONTENT, resume=False) as work:
        assert not work.is_done(REGIONS[0])
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        for region in REGIONS:
            write(region, prediction(2))
    assert (read_result(directory, "labels")[:2] == prediction(2).labels.reshape(2, 6)).all()


def test_another_job_is_not_gone_on_with(directory):
    stop_after_one(directory)
    with (
        pytest.raises(ConfigurationError, match=r"its model was a, and is b now; start anew with --overwrite"),
        unfinished(directory, {**PLAN, "model": "b"}, CONTENT, resume=True),
    ):
        pass
    assert (directory / FOLDER).exists()
    (directory / FOLDER / "plan.json").write_text("{")
    with (
        pytest.raises(ConfigurationError, match="cannot be resumed"),
        unfinished(directory, PLAN, CONTENT, resume=True),
    ):
        pass


def test_only_what_is_wanted_is_written(tmp_path):
    write_all(tmp_path, ResultKinds(3, labels=False, log_density=True), [prediction(0), prediction(1)])
    assert [one.name for one in tmp_path.iterdir()] == ["log_density.zarr"]


def test_a_store_that_is_full_is_an_error_of_one_line(tmp_path):
    with pytest.raises(DataError, match=r"cannot be written: No space left on device; make room"), writing(tmp_path):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="Bad file descriptor"), writing(tmp_path):
        raise OSError(9, "Bad file descriptor")


@pytest.mark.parametrize(
    ("k", "dtype"), [(1, "int8"), (128, "int8"), (129, "int16"), (32768, "int16"), (32769, "int32")]
)
def test_labels_take_the_smallest_type_that_holds_them(k, dtype):
    assert labels_spec(k).dtype == dtype


@pytest.mark.parametrize("top", [None, 2])
def test_results_of_a_table_are_a_table_with_its_keys(directory, top):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the package pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = pyarrow.table({"name": [f"row {i}" for i in range(24)]})
    regions = [(slice(0, 12),), (slice(12, 24),)]
    kinds = ResultKinds(3, labels=True, probabilities=True, top=top, log_density=True, threshold=0.5)
    with unfinished(directory, PLAN, CONTENT, resume=False) as work:
        write = TableWriter.create(work, kinds, lambda start, stop: names[start:stop], {"model": "abc"})
        for region in reversed(regions):
            write(region, prediction(region[0].start, top=top))
    parts = sorted((directory / "results.parquet").iterdir(), key=lambda one: one.name)
    tables = []
    for part in parts:
        with part.open("rb") as file:
            tables.append(parquet.read_table(file))
    table = pyarrow.concat_tables(tables)
    numbers = [f"{name}_{i}" for name in ("probability", "component") for i in range(2)]
    expected = numbers if top else [f"probability_{i}" for i in range(3)]
    assert table.column_names == ["name", "label", *expected, "log_density", "anomaly"]
    assert table["name"].to_pylist() == names["name"].to_pylist()
    np.testing.assert_array_equal(table["label"].to_numpy()[:12], prediction(0, top=top).labels)
    assert b'"model": "abc"' in table.schema.metadata[b"daskgmm"]


def test_what_is_complete_takes_its_place_though_the_job_was_killed(directory):
    """As SIGKILL between the renames: the folder is put back to how it was before the last of them."""
    write_all(directory, EVERYTHING, [prediction(5), prediction(6)])
    complete = {}

    def killed():
        with unfinished(directory, PLAN, CONTENT) as work:
            write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
            for number, region in enumerate(REGIONS):
                write(region, prediction(number))
            complete["names"] = sorted(one.name for one in work.path.iterdir() if one.name.endswith(".zarr"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    folder = directory / FOLDER
    first = complete["names"][0]
    (folder / "complete.json").write_text(json.dumps({"placed": complete["names"], "removed": ["results.parquet"]}))
    (replace_path if isinstance(folder, Path) else copy_over)(folder / first, directory / first)
    assert settle(directory, CONTENT)
    assert not settle(directory, CONTENT)
    assert not folder.exists()
    for name in ("labels", "log_density", "probabilities"):
        expected = np.concatenate([getattr(prediction(0), name), getattr(prediction(1), name)])
        found = read_result(directory, name)
        np.testing.assert_array_equal(found, expected.reshape(found.shape).astype(found.dtype))


def test_a_folder_without_a_plan_is_none(directory):
    stop_after_one(directory)
    (directory / FOLDER / "plan.json").unlink()
    assert not settle(directory, CONTENT)
    with unfinished(directory, PLAN, CONTENT, resume=True) as work:
        assert not work.going_on
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        for region in REGIONS:
            write(region, prediction(3))
    assert (read_result(directory, "labels")[:2] == prediction(3).labels.reshape(2, 6)).all()


def test_an_interruption_before_the_arrays_are_made_is_gone_on_with(directory):
    stop_after_one(directory)
    remove(directory / FOLDER / "log_density.zarr")
    with unfinished(directory, PLAN, CONTENT, resume=True) as work:
        ZarrWriter.create(work, EVERYTHING, LAYOUT, {})(REGIONS[1], prediction(1))
    assert (directory / "log_density.zarr").exists()


def test_results_of_another_plan_are_dropped_from_what_is_unfinished(directory):
    """A fit that goes on may write other results of its model."""

    def begun(plan, resume, then=None):
        with unfinished(directory, PLAN, CONTENT, resume=resume) as work:
            results = work.for_results(plan, ("labels.zarr",))
            write = ZarrWriter.create(results, ResultKinds(3), LAYOUT, {})
            todo = [region for region in REGIONS if not results.is_done(region)]
            if then is not None:
                write(todo[0], prediction(0))
                raise then
            for region in todo:
                write(region, prediction(1))
            return len(todo)

    for plan, resume in (({"labels": "a"}, False), ({"labels": "b"}, True)):
        with pytest.raises(KeyboardInterrupt):
            begun(plan, resume, KeyboardInterrupt())
    assert begun({"labels": "b"}, True) == 1
    labels = read_result(directory, "labels")
    np.testing.assert_array_equal(labels, np.concatenate([prediction(i).labels for i in (0, 1)]).reshape(4, 6))
    assert sorted(one.name for one in directory.iterdir()) == ["labels.zarr"]


def test_an_error_of_the_job_is_not_one_of_the_store(directory):
    """What fails in computing, a lost connection say, is told as what it is."""
    with pytest.raises(ConnectionResetError), unfinished(directory, PLAN, CONTENT):
        raise ConnectionResetError("scheduler")
