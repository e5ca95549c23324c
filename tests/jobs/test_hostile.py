"""Folders, configurations and names that a hostile hand wrote: refused in one line, nothing executed or allocated."""

import json
import os
import random
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

from daskgmm.config import parse_config
from daskgmm.core.em.fitted_model import Anomaly, FitSummary, Model
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import ConfigurationError, DaskGMMError, DataError
from daskgmm.storage.formats.model import fingerprint, load_model, save_model
from daskgmm.storage.run.directory import CONTENT, RunDirectory
from daskgmm.storage.run.staging import FOLDER, settle
from tests.cli.test_commands import refused, run
from tests.hostile import copied, damage_bytes, damage_json, open_or_refuse, run_in_little_memory

SUMMARY = FitSummary(-1.5, 100.0, 1.0, 2.0, 3.0, 7, True, "converged", ())
MIXTURE = Mixture(
    "full", np.array([0.25, 0.75]), np.arange(6.0).reshape(2, 3), np.stack([np.eye(3), 2 * np.eye(3) + 0.5])
)
MODEL = Model(MIXTURE, ("a", "b", "c"), SUMMARY, Anomaly(0.01, -7.0))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("pristine") / "model.zarr"
    save_model(MODEL, path)
    return path


@pytest.fixture
def model(pristine, tmp_path):
    return copied(pristine, tmp_path / "model.zarr")


def edit(path, **changes):
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


@pytest.mark.parametrize("damage", [damage_bytes, damage_json])
@given(seed=st.integers(0, 2**32))
def test_a_damaged_model_is_the_exact_one_or_a_refusal(pristine, tmp_path_factory, damage, seed):
    path = copied(pristine, tmp_path_factory.getbasetemp() / "damaged.zarr")
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        damage(path, chance)
    loaded = open_or_refuse(load_model, path)
    if not isinstance(loaded, DaskGMMError):
        assert fingerprint(loaded) == fingerprint(MODEL)
        assert (loaded.summary, loaded.feature_names, loaded.anomaly) == (SUMMARY, MODEL.feature_names, MODEL.anomaly)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.just(b"[" * 100_000))
def test_any_bytes_as_metadata_are_refused(pristine, tmp_path_factory, content):
    for name in ("zarr.json", "means/zarr.json"):
        path = copied(pristine, tmp_path_factory.getbasetemp() / "any.zarr")
        (path / name).write_bytes(content)
        assert isinstance(open_or_refuse(load_model, path), DataError)


CODEC = {"name": "numcodecs.pickle", "configuration": {}}
HOSTILE_HEADERS = {
    "huge shape": {"shape": [10**6, 10**6]},
    "huge shape and chunk": {
        "shape": [10**6, 10**6],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6]}},
    },
    "huge chunk": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6]}}},
    "negative shape": {"shape": [-2, 3]},
    "no shape": {"shape": []},
    "shape of texts": {"shape": ["2", "3"]},
    "shape of truths": {"shape": [True, True]},
    "object": {"data_type": "object"},
    "other type": {"data_type": "float32"},
    "unknown codec": {"codecs": [{"name": "bytes"}, {"name": "no-such-codec"}]},
    "pickle": {"codecs": [CODEC, {"name": "bytes", "configuration": {"endian": "little"}}]},
    "format 2": {"zarr_format": 2},
    "a group": {"node_type": "group"},
    "path in the separator": {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../../"}}},
    "transformers": {"storage_transformers": [{"name": "x"}]},
}


@pytest.mark.parametrize("changes", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
@pytest.mark.parametrize("array", ["weights", "means", "covariances"])
def test_hostile_metadata_are_refused_before_anything_is_allocated(model, array, changes):
    edit(model / array / "zarr.json", **changes)
    open_or_refuse(load_model, model)  # what is imported on the way is not counted
    tracemalloc.start()
    try:
        refusal = open_or_refuse(load_model, model)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert isinstance(refusal, DataError)
    assert array in str(refusal)


@pytest.mark.parametrize("value", [None, 7, [], "full ", {"a": 1}, "object"])
@pytest.mark.parametrize("key", ["covariance_type", "feature_names", "summary", "anomaly", "daskgmm_format"])
def test_attributes_of_other_types_are_refused(model, key, value):
    document = json.loads((model / "zarr.json").read_text())
    document["attributes"][key] = value
    (model / "zarr.json").write_text(json.dumps(document))
    assert isinstance(open_or_refuse(load_model, model), DataError)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("weights", [-0.5, 1.5], "weights must be 0 or more and sum to 1"),
        ("weights", [np.nan, 1.0], "weights holds values that are not finite"),
        ("means", np.full((2, 3), np.inf), "means holds values that are not finite"),
        ("means", [[1e200] * 3, [-1e200] * 3], "too large or too small for their squares"),
        ("covariances", np.stack([np.eye(3), -np.eye(3)]), "not positive definite"),
        ("covariances", np.stack([np.eye(3), np.triu(np.full((3, 3), 0.4)) + np.eye(3)]), "not symmetric"),
        ("covariances", np.zeros((2, 3, 3)), "too small for their squares|not positive definite"),
    ],
)
def test_numbers_that_make_no_mixture_are_refused(model, name, values, message):
    chunk = next(path for path in (model / name).rglob("*") if path.is_file() and path.name == "0")
    chunk.write_bytes(np.asarray(values, "<f8").tobytes())
    with pytest.raises(DataError, match=message):
        load_model(model)


def test_arrays_that_disagree_are_refused_before_they_are_read(tmp_path):
    group = zarr.create_group(str(tmp_path / "model.zarr"))
    with pytest.raises(DataError, match="lacks the attributes"):
        load_model(tmp_path)
    save_model(MODEL, tmp_path / "model.zarr")
    group = zarr.open_group(str(tmp_path / "model.zarr"))
    del group["weights"]
    group.create_array("weights", data=np.full(4, 0.25), compressors=None)
    with pytest.raises(DataError, match=r"weights has the shape \(4,\), expected \(2,\)"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["zarr.json", "means/zarr.json", "means/c/0/0", "means"])
def test_links_that_lead_out_of_a_model_are_not_followed(model, pristine, name):
    target = model / name
    target.rename(model.parent / "original")
    target.symlink_to(pristine / name)
    with pytest.raises(DataError, match="is a link that leads out of the folder"):
        load_model(model)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_read(model, make):
    (model / "means/c/0/0").unlink()
    make(model / "means/c/0/0")
    with pytest.raises(DataError, match=r"is missing, or no file|leads out of the folder"):
        load_model(model)


def test_a_link_to_a_model_is_a_model(model, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.zarr").symlink_to(model)
    assert fingerprint(load_model(tmp_path / "other")) == fingerprint(MODEL)


def test_a_model_is_stored_as_zarr_reads_it(model):
    group = zarr.open_group(str(model), mode="r")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(group[name][...], getattr(MIXTURE, name))


@pytest.fixture
def hole(model):
    """A model whose covariances are a hole of 640 GB in a file, as large as its metadata say."""
    n = 200_000
    for name, shape in {"means": [2, n], "covariances": [2, n, n]}.items():
        edit(
            model / name / "zarr.json",
            shape=shape,
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": shape}},
        )
        (chunk,) = (path for path in (model / name).rglob("*") if path.name == "0" and path.is_file())
        with chunk.open("wb") as file:
            try:
                file.truncate(8 * int(np.prod(shape)))
            except OSError:
                pytest.skip("the file system takes no hole of that size")
    document = json.loads((model / "zarr.json").read_text())
    document["attributes"]["feature_names"] = None
    (model / "zarr.json").write_text(json.dumps(document))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect", "predict"])
def test_a_model_larger_than_memory_is_one_line(hole, command):
    done = run_in_little_memory(command, str(hole.parent))
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert "is damaged" in done.stderr


def test_a_hostile_model_is_one_line_of_the_commands(model):
    edit(model / "means/zarr.json", **HOSTILE_HEADERS["huge shape and chunk"])
    for command in ("inspect", "predict"):
        line = refused(command, str(model.parent), code=3)
        assert "means of shape (1000000, 1000000) needs 8,000,000,000,000 bytes, and 48 are stored" in line


def test_names_in_a_model_act_neither_as_markup_nor_on_the_terminal(tmp_path):
    names = ("[/red]", "[bold]b", "c\x1b[2J\r")
    save_model(Model(MIXTURE, names, SUMMARY), tmp_path / "model.zarr")
    out = run("inspect", str(tmp_path)).output
    assert "[/red]" in out
    assert "[bold]b" in out
    assert "\x1b[2J" not in out


@pytest.fixture
def complete(tmp_path):
    """A run directory that holds a complete folder which has not taken its place, and what lies around it."""
    folder = tmp_path / "run" / FOLDER
    (folder / "done").mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "config.yaml").write_text("new")
    (tmp_path / "run/config.yaml").write_text("old")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run/notes.txt").write_text("notes")
    return folder


PATHS = ["../precious", "../../precious", "notes.txt", "/etc/passwd", "", ".", "..", "config.yaml/../../precious"]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("key", ["placed", "removed"])
def test_nothing_but_results_is_moved_or_removed(complete, tmp_path, key, name):
    (complete / "complete.json").write_text(json.dumps({"placed": ["config.yaml"], "removed": [], key: [name]}))
    with pytest.raises(DataError, match=r"which no job writes: remove the folder \.unfinished") as caught:
        RunDirectory(tmp_path / "run").check_writable(overwrite=True)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "run/notes.txt").read_text() == "notes"
    assert (tmp_path / "run/config.yaml").read_text() == "old"


@given(content=st.binary(max_size=100) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*PATHS, *CONTENT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["placed", "removed", "x"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@example(b"[" * 100_000)
def test_any_bytes_as_what_is_complete_move_nothing_outside(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("settle")
    folder = root / "run" / FOLDER
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "complete.json").write_bytes(content)
    (root / "precious").write_text("precious")
    (root / "run/notes.txt").write_text("notes")
    open_or_refuse(lambda path: settle(path, CONTENT), root / "run")
    assert (root / "precious").read_text() == "precious"
    assert (root / "run/notes.txt").read_text() == "notes"


def test_a_link_in_place_of_the_unfinished_folder_is_refused(complete, tmp_path):
    elsewhere = complete.rename(tmp_path / "elsewhere")
    complete.symlink_to(elsewhere)
    (elsewhere / "complete.json").write_text('{"placed": ["config.yaml"], "removed": []}')
    with pytest.raises(DataError, match="is a link that leads out of the output directory"):
        RunDirectory(tmp_path / "run").check_writable(overwrite=True)
    assert (elsewhere / "config.yaml").read_text() == "new"


def test_results_that_are_links_are_replaced_and_not_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).standard_normal((50, 2)))
    (tmp_path / "job.yaml").write_text(
        "{data: {path: rows.npy}, model: {n_components: 1}, output: {directory: run, report: false}}"
    )
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("precious")
    (tmp_path / "run").mkdir()
    for name in ("labels.zarr", "anomaly.zarr"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    run("fit", "job.yaml", "--overwrite")
    assert (tmp_path / "precious/file").read_text() == "precious"
    assert [one.name for one in (tmp_path / "precious").iterdir()] == ["file"]
    assert not (tmp_path / "run/labels.zarr").is_symlink()
    assert not (tmp_path / "run/anomaly.zarr").is_symlink()


@pytest.mark.parametrize("name", ["config.yaml", "history.json", ".manifest", "metrics.jsonl", "labels.zarr/zarr.json"])
def test_a_pipe_among_the_files_of_a_run_is_not_waited_for(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).standard_normal((50, 2)))
    (tmp_path / "job.yaml").write_text(
        "{data: {path: rows.npy}, model: {n_components: 1}, output: {directory: run, report: false}}"
    )
    run("fit", "job.yaml")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    if name in {"config.yaml", "history.json"}:
        assert f"not a regular file: 'run/{name}'" in refused("report", "run", code=3)
    else:
        run("report", "run")
    if name == ".manifest":
        assert "run/.manifest is damaged" in refused("fit", "job.yaml", "--resume", code=3)
    else:
        run("fit", "job.yaml", "--resume")
        assert (tmp_path / "run" / name).is_file()


AGAIN = ("predict", "run", "data.path=new.npy", "cluster.n_workers=1")


@pytest.fixture(scope="module")
def half_way(tmp_path_factory):
    """A folder with a prediction that stopped half way, beside a copy of it: the run knows where its data are."""
    folder = tmp_path_factory.mktemp("half-way") / "work"
    folder.mkdir()
    rows = np.random.default_rng(0).standard_normal((1000, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        np.save("rows.npy", rows)
        Path("job.yaml").write_text(
            "{data: {path: rows.npy}, model: {n_components: 2}, output: {directory: run, report: false}}"
        )
        run("fit", "job.yaml", "compute.chunk_bytes=2400")
        np.save("new.npy", np.where(np.arange(3000).reshape(1000, 3) == 1950, np.nan, rows))
        refused(*AGAIN, code=3)
        np.save("new.npy", rows)
    shutil.copytree(folder, folder.parent / "kept")
    return folder


@pytest.fixture
def interrupted(half_way, monkeypatch):
    """The prediction that stopped half way, as the working directory; return the command that continues with it."""
    shutil.rmtree(half_way)
    shutil.copytree(half_way.parent / "kept", half_way)
    monkeypatch.chdir(half_way)
    return (*AGAIN, "--resume")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("../../../precious", path)])
def test_what_is_no_file_in_an_unfinished_folder_is_not_written_to(interrupted, make):
    (Path("run/predictions") / FOLDER / "config.yaml").unlink()
    Path("precious").write_text("precious")
    make(Path("run/predictions") / FOLDER / "config.yaml")
    run(*interrupted)
    assert Path("run/predictions/config.yaml").is_file()
    assert not Path("run/predictions/config.yaml").is_symlink()
    assert Path("precious").read_text() == "precious"


@pytest.mark.parametrize("changes", [{"codecs": [CODEC]}, {"shape": [10**15]}, {"data_type": "object"}])
def test_results_with_other_metadata_are_not_gone_on_with(interrupted, changes):
    edit(Path("run/predictions") / FOLDER / "labels.zarr/labels/zarr.json", **changes)
    assert "is not stored as this job stores it: start over with --overwrite" in refused(*interrupted, code=2)


def test_a_link_below_an_unfinished_folder_is_not_written_through(interrupted):
    chunks = Path("run/predictions") / FOLDER / "labels.zarr/labels/c"
    Path("outside").mkdir()
    shutil.rmtree(chunks, ignore_errors=True)
    chunks.symlink_to(Path("outside").absolute())
    run(*interrupted)
    assert list(Path("outside").iterdir()) == []
    assert not Path("run/predictions/labels.zarr/labels/c").is_symlink()


@pytest.mark.parametrize("damage", [lambda path: path.write_text('{"job": ["prediction"]}'), os.mkfifo])
def test_a_damaged_plan_is_not_gone_on_with(interrupted, damage):
    (Path("run/predictions") / FOLDER / "plan.json").unlink()
    damage(Path("run/predictions") / FOLDER / "plan.json")
    assert "cannot be resumed: its plan.json is damaged" in refused(*interrupted, code=2)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {path: a.zarr}\ndata: {path: b.zarr}", "the key 'data' stands there twice: remove one"),
        ("data: {path: a.zarr, path: b.zarr}", "the key 'path' stands there twice: remove one"),
        (LAUGHS, "aliases (*name) make more than 10,000 values of it"),
        ("data: &a {path: a.zarr, storage_options: *a}", "aliases (*name) make more than"),
        ("[" * 20_000, "is nested too deeply"),
        ("[" * 500_000, "is nested too deeply"),
        ("".join(f"k{i}: 1\n" for i in range(30_000)), "more than 10,000 keys and values: shorten it"),
        ("#" * 600_000, "has 600,000 characters, more than 524,288: shorten it"),
        ("%YAML 1.1\n---\ndata: {path: a.zarr}", "asks for another version of YAML than 1.2"),
        ("data: {path: !!int x}", "is not YAML"),
        ("data: {path: !!bool maybe}", "is not YAML"),
        ("data: {path: !!python/object/apply:os.system [id]}", "is not YAML"),
        ("data: {? [a, b] : c}", "is not YAML"),
        ("data: {path: \x00}", "is not YAML"),
    ],
)
def test_a_hostile_configuration_is_one_line(text, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_aliases_may_save_writing():
    data = "data: {path: s3://a/b.zarr, storage_options: &s {anon: true}}\n"
    assert parse_config(f"{data}output: {{directory: s3://a/c, storage_options: *s}}").output.storage_options == {
        "anon": True
    }


@given(text=st.text(alphabet="dataph:{}[]&*!<>|?-'\"#%@`, \n\t01.~xe", max_size=60))
def test_any_text_is_a_configuration_or_refused(text):
    open_or_refuse(lambda path: parse_config(text), Path())


def test_nothing_that_a_command_prints_acts_on_a_terminal(tmp_path):
    folder = tmp_path / "run\x1b[2J\u202e"
    folder.mkdir()
    np.save(folder / "rows.npy", np.random.default_rng(0).standard_normal((50, 2)))
    directory = folder / "out"
    options = {"data": {"path": str(folder / "rows.npy")}, "model": {"n_components": 1}}
    (folder / "job.yaml").write_text(json.dumps({**options, "output": {"directory": str(directory)}}))
    commands = [("fit", str(folder / "job.yaml"), *more) for more in ((), ("--dry-run",), ("--resume",))]
    commands += [(command, str(directory)) for command in ("inspect", "status", "report", "predict")]
    commands += [("export", str(directory), "--format", "json"), ("config", "show", str(folder / "job.yaml"))]
    for command in commands:
        done = run(*command)
        assert all(one.isprintable() or one == "\n" for one in done.stdout + done.stderr), command
