import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from daskgmm.core.scoring.prediction import LEFT_OUT, Prediction
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.events import ignore
from daskgmm.filesystem.location import copy_over, guard_write, remove, replace_path, resolve_location
from daskgmm.sources.base import Coordinate
from daskgmm.storage.formats.results_parquet import TableWriter
from daskgmm.storage.formats.results_zarr import GridLayout, ResultKinds, ZarrWriter, read_result
from daskgmm.storage.run.directory import CONTENT
from daskgmm.storage.run.staging import FOLDER, is_unfinished, settle, stage_run
from daskgmm.storage.schema import RESULTS, labels_spec

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
    return (
        resolve_location(tmp_path / "run")
        if request.param == "local"
        else resolve_location(f"memory://{tmp_path.name}/run")
    )


def write_all(directory, kinds, predictions, layout=LAYOUT, attributes=None):
    with stage_run(directory, PLAN, CONTENT, resume=False) as work:
        write = ZarrWriter.create(work.for_results(PLAN, RESULTS, ignore), kinds, layout, attributes or {})
        for region, one in zip(REGIONS, predictions, strict=True):
            write(region, one)


def stop_after_one(directory, kinds=EVERYTHING, first=None, layout=LAYOUT):
    def interrupted():
        with stage_run(directory, PLAN, CONTENT, resume=False) as work:
            work = work.for_results(PLAN, RESULTS, ignore)
            ZarrWriter.create(work, kinds, layout, {})(REGIONS[0], first or prediction(0))
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
    assert {one.name for one in directory.iterdir()} == {".manifest", *(f"{name}.zarr" for name in together)}


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
        with stage_run(directory, PLAN, CONTENT, resume=False) as work:
            ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not (directory / FOLDER).exists()


def test_an_interrupted_job_is_gone_on_with(directory):
    stop_after_one(directory)
    assert not (directory / "labels.zarr").exists()
    with stage_run(directory, PLAN, CONTENT, resume=True) as work:
        work = work.for_results(PLAN, RESULTS, ignore)
        assert [work.is_done(region) for region in REGIONS] == [True, False]
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        write(REGIONS[1], prediction(1))
    expected = np.concatenate([prediction(0).labels, prediction(1).labels]).reshape(4, 6)
    np.testing.assert_array_equal(read_result(directory, "labels"), expected)
    assert not (directory / FOLDER).exists()


def test_without_resume_a_job_starts_anew(directory):
    stop_after_one(directory)
    with stage_run(directory, PLAN, CONTENT, resume=False) as work:
        assert not work.is_done(REGIONS[0])
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        for region in REGIONS:
            write(region, prediction(2))
    assert (read_result(directory, "labels")[:2] == prediction(2).labels.reshape(2, 6)).all()


def test_another_job_is_not_gone_on_with(directory):
    stop_after_one(directory)
    with (
        pytest.raises(ConfigurationError, match=r"its model was a, and is b now; start over with --overwrite"),
        stage_run(directory, {**PLAN, "model": "b"}, CONTENT, resume=True),
    ):
        pass
    assert (directory / FOLDER).exists()
    (directory / FOLDER / "plan.json").write_text("{")
    with (
        pytest.raises(ConfigurationError, match="cannot be resumed"),
        stage_run(directory, PLAN, CONTENT, resume=True),
    ):
        pass


def test_only_what_is_wanted_is_written(tmp_path):
    write_all(tmp_path, ResultKinds(3, labels=False, log_density=True), [prediction(0), prediction(1)])
    assert sorted(one.name for one in tmp_path.iterdir()) == [".manifest", "log_density.zarr"]


def test_a_store_that_is_full_is_an_error_of_one_line(tmp_path):
    with (
        pytest.raises(DataError, match=r"cannot be written: No space left on device; make room"),
        guard_write(tmp_path),
    ):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="Bad file descriptor"), guard_write(tmp_path):
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
    with stage_run(directory, PLAN, CONTENT, resume=False) as work:
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


def stop_when_placed(directory, monkeypatch, n_placed, write=write_all):
    """Write two regions, and stop when that many of the results have taken their place, as SIGKILL would."""
    n_left = n_placed

    def place_or_stop(source, target):
        nonlocal n_left
        if not n_left:
            raise KeyboardInterrupt
        n_left -= 1
        (replace_path if isinstance(source, Path) else copy_over)(source, target)

    with monkeypatch.context() as patched:
        for name in ("replace_path", "copy_over"):
            patched.setattr(f"daskgmm.storage.run.staging.{name}", place_or_stop)
        with pytest.raises(KeyboardInterrupt):
            write(directory, EVERYTHING, [prediction(0), prediction(1)])


@pytest.mark.parametrize("n_placed", [0, 1, 3])
def test_what_is_complete_takes_its_place_though_the_job_was_killed(directory, monkeypatch, n_placed):
    write_all(directory, EVERYTHING, [prediction(5), prediction(6)])
    stop_when_placed(directory, monkeypatch, n_placed)
    assert settle(directory, CONTENT)
    assert not settle(directory, CONTENT)
    assert not (directory / FOLDER).exists()
    for name in ("labels", "log_density", "probabilities"):
        expected = np.concatenate([getattr(prediction(0), name), getattr(prediction(1), name)])
        found = read_result(directory, name)
        np.testing.assert_array_equal(found, expected.reshape(found.shape).astype(found.dtype))


def test_a_folder_without_a_plan_is_none(directory):
    stop_after_one(directory)
    (directory / FOLDER / "plan.json").unlink()
    assert not settle(directory, CONTENT)
    with stage_run(directory, PLAN, CONTENT, resume=True) as work:
        assert not work.going_on
        write = ZarrWriter.create(work, EVERYTHING, LAYOUT, {})
        for region in REGIONS:
            write(region, prediction(3))
    assert (read_result(directory, "labels")[:2] == prediction(3).labels.reshape(2, 6)).all()


def test_an_interruption_before_the_arrays_are_made_is_gone_on_with(directory):
    stop_after_one(directory)
    remove(directory / FOLDER / "log_density.zarr")
    with stage_run(directory, PLAN, CONTENT, resume=True) as work:
        ZarrWriter.create(work, EVERYTHING, LAYOUT, {})(REGIONS[1], prediction(1))
    assert (directory / "log_density.zarr").exists()


def test_results_of_another_plan_are_dropped_from_what_is_unfinished(directory):
    """A fit that goes on may write other results of its model."""

    def begun(plan, resume, then=None):
        with stage_run(directory, PLAN, CONTENT, resume=resume) as work:
            results = work.for_results(plan, ("labels.zarr",), ignore)
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
    assert sorted(one.name for one in directory.iterdir()) == [".manifest", "labels.zarr"]


def test_an_error_of_the_job_is_not_one_of_the_store(directory):
    """What fails in computing, a lost connection say, is told as what it is."""
    with pytest.raises(ConnectionResetError), stage_run(directory, PLAN, CONTENT):
        raise ConnectionResetError("scheduler")


CHUNK, OTHER_CHUNK = "labels.zarr/labels/c/0/0", "log_density.zarr/log_density/c/0/0"
DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "changed": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "another's": lambda path: shutil.copy(next(one for one in path.parents if one.name == FOLDER) / OTHER_CHUNK, path),
}


def assert_whole(directory):
    for name in ("labels", "log_density", "probabilities"):
        expected = np.concatenate([getattr(prediction(i), name) for i in (0, 1)])
        found = read_result(directory, name)
        np.testing.assert_array_equal(found, expected.reshape(found.shape).astype(found.dtype))


def go_on(directory, todo=2, kinds=EVERYTHING, listen=ignore, one_of=prediction, layout=LAYOUT):
    """Continue with what was stopped: write the first regions that are not done, and stop again if others are left."""
    with stage_run(directory, PLAN, CONTENT, resume=True) as work:
        work = work.for_results(PLAN, RESULTS, listen)
        write = ZarrWriter.create(work, kinds, layout, {})
        missing = [number for number, region in enumerate(REGIONS) if not work.is_done(region)]
        for number in missing[:todo]:
            write(REGIONS[number], one_of(number))
        if len(missing) > todo:
            raise KeyboardInterrupt
    return missing


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("what", [CHUNK, "done/0-0"])
def test_regions_that_are_not_whole_are_written_again(tmp_path, what, damage):
    stop_after_one(tmp_path)
    damage(tmp_path / FOLDER / what)
    told = []
    assert go_on(tmp_path, listen=told.append) == [0, 1]
    assert_whole(tmp_path)
    gone = damage is DAMAGES["removed"] and what.startswith("done")
    again = "1 chunks of results are damaged, and are written again"
    assert [one.message for one in told] == ([] if gone else [again])


def test_whole_regions_are_not_written_again(directory):
    stop_after_one(directory)
    told = []
    assert go_on(directory, listen=told.append) == [1]
    assert [one.message for one in told] == ["1 chunks of results were finished before"]
    assert_whole(directory)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("what", ["labels.zarr/labels/zarr.json", "labels.zarr/lat/zarr.json", "labels.zarr/lat/c/0"])
def test_damaged_metadata_are_refused_with_a_remedy_that_helps(tmp_path, what, damage):
    layout = GridLayout((4, 6), (2, 6), ("lat", "lon"), {"lat": Coordinate(np.arange(4.0), {})})
    stop_after_one(tmp_path, layout=layout)
    damage(tmp_path / FOLDER / what)
    with pytest.raises(ConfigurationError, match=r"labels.zarr is not stored as this job stores it: .* or remove it"):
        go_on(tmp_path, layout=layout)
    remove(tmp_path / FOLDER / "labels.zarr")
    go_on(tmp_path, layout=layout)
    assert_whole(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_a_group_says_is_written_again(tmp_path, damage):
    stop_after_one(tmp_path)
    damage(tmp_path / FOLDER / "labels.zarr/zarr.json")
    assert go_on(tmp_path) == [1]
    assert zarr.open_group(tmp_path / "labels.zarr", mode="r").attrs["daskgmm_kind"] == "labels"
    assert_whole(tmp_path)


def test_a_marker_of_another_region_is_none(directory):
    stop_after_one(directory)
    marker = directory / FOLDER / "done/0-0"
    (directory / FOLDER / "done/2-0").write_bytes(marker.read_bytes())
    assert go_on(directory) == [1]


def test_chunks_of_fill_values_are_whole_where_none_is_stored(tmp_path):
    nothing, kinds = Prediction(np.full(12, LEFT_OUT, np.int32), None, None), ResultKinds(3)
    options = {"kinds": kinds, "one_of": lambda number: nothing}
    stop_after_one(tmp_path, kinds, nothing)
    chunk = tmp_path / FOLDER / CHUNK
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(b"of another")
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, 1, **options)
    assert go_on(tmp_path, **options) == [1]
    assert (read_result(tmp_path, "labels") == LEFT_OUT).all()


@pytest.mark.parametrize("damage", ["cut", "removed"])
@pytest.mark.parametrize("what", [CHUNK, "labels.zarr/zarr.json", "done/0-0"])
def test_what_is_complete_and_damaged_is_unfinished_again(tmp_path, monkeypatch, what, damage):
    stop_when_placed(tmp_path, monkeypatch, 0)
    DAMAGES[damage](tmp_path / FOLDER / what)
    assert not settle(tmp_path, CONTENT)
    assert is_unfinished(tmp_path)


@pytest.mark.parametrize("what", [CHUNK, "complete.json", "done/0-0"])
def test_what_has_taken_its_place_in_part_and_is_damaged_is_refused(tmp_path, monkeypatch, what):
    stop_when_placed(tmp_path, monkeypatch, 2)
    path = tmp_path / FOLDER / what
    DAMAGES["cut"](path if path.exists() else tmp_path / what)
    with pytest.raises(DataError, match=r"is damaged.*remove the folder \.unfinished"):
        settle(tmp_path, CONTENT)


def test_what_stands_in_the_way_of_a_chunk_is_named(tmp_path):
    stop_after_one(tmp_path)
    remove(tmp_path / FOLDER / CHUNK)
    (tmp_path / FOLDER / CHUNK).mkdir()
    with pytest.raises(DataError, match=rf"{CHUNK}.* what is in the way"):
        go_on(tmp_path)
