"""The command `select`, and the run directory that it leaves."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from rich.console import Console
from sklearn.datasets import load_iris

from daskgmm import load_model
from daskgmm.config import load_config, parse_config
from daskgmm.core.options.select import SelectOptions
from daskgmm.core.selection.table import Row, Selection
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.events import Iteration
from daskgmm.jobs.dry_run import describe_sweep
from daskgmm.jobs.select import select
from daskgmm.report.terminal.selection_table import selection_line, selection_table
from daskgmm.storage.formats.selection import read_selection, write_selection
from tests.cli.test_commands import run

CONFIG = str(Path(__file__).parents[2] / "configs" / "select.yaml")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The sweep of configs/select.yaml, its directory and what it printed."""
    directory = tmp_path_factory.mktemp("select") / "run"
    return directory, run("select", CONFIG, f"output.directory={directory}").output


def test_the_configuration_of_the_project_finds_the_two_clusters_of_iris(ran):
    directory, printed = ran
    assert "full covariance, 2 components: best of 24 candidates by bic (574.018" in printed
    assert "strong" in printed
    model = load_model(directory)
    assert model.mixture.n_components == 2
    assert round(model.summary.bic, 3) <= 574.018
    labels = zarr.open_array(directory / "labels.zarr", path="labels")[...]
    setosa = load_iris().target == 0
    assert len(np.unique(labels[setosa])) == len(np.unique(labels[~setosa])) == 1


def test_the_table_lies_beside_the_model_and_reads_back(ran):
    table = read_selection(ran[0] / "selection.json")
    assert len(table.rows) == 24
    assert table.chosen.name == table.best == "full-2"
    assert table.chosen.bic == pytest.approx(load_model(ran[0]).summary.bic)
    document = json.loads((ran[0] / "selection.json").read_text())
    assert [*document["candidates"][0]] == [*Row.__dataclass_fields__]
    copy = ran[0] / "copy.json"
    write_selection(table, copy)
    assert read_selection(copy) == table
    copy.unlink()


def test_the_configuration_that_is_kept_names_the_chosen_model(ran):
    kept = load_config(ran[0] / "config.yaml")
    assert (kept.model.n_components, kept.model.covariance_type) == (2, "full")
    assert kept.select.sizes == (1, 2, 3, 4, 5, 6)


def test_the_run_can_be_predicted_with_and_inspected(ran, here):
    run("predict", str(ran[0]), "output.directory=again")
    first, again = (zarr.open_array(where / "labels.zarr", path="labels")[...] for where in (ran[0], here / "again"))
    np.testing.assert_array_equal(first, again)
    assert "2 components, full covariance" in run("inspect", str(ran[0])).output


def test_the_passes_are_kept_as_metrics(ran):
    lines = [json.loads(line) for line in (ran[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["n_live"] == 0


def test_a_run_is_replaced_only_when_asked_and_a_fit_then_leaves_no_table(ran):
    where = f"output.directory={ran[0]}"
    small = ("select.n_components=[1]", "select.covariance_type=[diag]", "output.report=false")
    run("select", CONFIG, where, *small, code=2)
    copied = ran[0].parent / "other"
    run("select", CONFIG, f"output.directory={copied}", *small)
    run("fit", CONFIG, f"output.directory={copied}", "model.n_components=2", "output.report=false", "--overwrite")
    assert not (copied / "selection.json").exists()


def test_a_dry_run_says_how_many_candidates_share_how_many_reads(here):
    printed = run("select", CONFIG, "select.criterion=heldout", "--dry-run").output
    assert "24 by heldout with 5 folds" in printed
    assert "in one read" in printed
    assert not list(here.iterdir())


def test_many_large_candidates_take_several_reads_and_the_plan_counts_them():
    text = (
        "data: {path: 'sample:synthetic', synthetic: {n_features: 64}}\n"
        "select: {n_components: [100, 200, 300], covariance_type: [full, diag], batch_bytes: 6291456}\n"
    )
    config = parse_config(text)
    assert "MiB of statistics, in 4 reads of at most 6 MiB each" in describe_sweep(config)

    def peak(batch_bytes):
        options = parse_config(text, [f"select.batch_bytes={batch_bytes}"])
        line = next(line for line in describe_sweep(options).splitlines() if line.startswith("peak memory"))
        return int(line.split("at most ")[1].split()[0])

    assert peak(60_000_000) > peak(6_000_000)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("select.n_components=5..2", "neither a list"),
        ("select.n_components=many", "neither a list"),
        ("select.n_components=[0, 1]", "n_components"),
        ("select.n_components=[]", "n_components"),
        ("select.covariance_type=[round]", "covariance_type"),
        ("select.criterion=best", "criterion"),
        ("select.folds=1", "folds"),
        ("select.sizes=[1]", "unknown key select.sizes"),
    ],
)
def test_a_mistake_in_the_section_is_one_line(override, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_config(CONFIG, [override])
    assert "\n" not in str(caught.value)


def test_a_range_is_the_list_of_its_numbers():
    assert SelectOptions("2..4").sizes == SelectOptions((4, 2, 3, 3)).sizes == (2, 3, 4)
    assert [one.name for one in SelectOptions((1, 2), ("tied", "diag")).candidates] == [
        "tied-1",
        "tied-2",
        "diag-1",
        "diag-2",
    ]


def test_where_every_candidate_fails_the_job_says_why_and_leaves_nothing(here):
    np.save("rows.npy", np.random.default_rng(0).normal(size=(5, 2)))
    config = parse_config("data: {path: rows.npy}\nselect: {n_components: [7]}\noutput: {directory: run}")
    with pytest.raises(DataError, match="5 rows"):
        select(config)
    assert not Path("run").exists()


DAMAGES = {
    "cut": lambda document: json.dumps(document)[:-20],
    "no JSON": lambda document: "no json",
    "a list": lambda document: "[]",
    "empty": lambda document: "{}",
    "another kind": lambda document: json.dumps({**document, "daskgmm_kind": "model"}),
    "another format": lambda document: json.dumps({**document, "daskgmm_format": 99}),
    "no candidates": lambda document: json.dumps({**document, "candidates": []}),
    "candidates that are none": lambda document: json.dumps({**document, "candidates": [1]}),
    "a candidate cut short": lambda document: json.dumps({**document, "candidates": [{"name": "full-2"}]}),
    "a best that is none": lambda document: json.dumps({**document, "best": "full-99"}),
    "twice the same": lambda document: json.dumps({**document, "candidates": 2 * document["candidates"]}),
    "an unknown criterion": lambda document: json.dumps({**document, "criterion": "mdl"}),
    "words for numbers": lambda document: json.dumps({**document, "weight_sum": "many"}),
    "numbers that are none": lambda document: json.dumps({**document, "weight_sum": float("nan")}),
    "a deep nest": lambda document: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_is_no_table_is_refused_in_a_line(ran, tmp_path, damage):
    (tmp_path / "selection.json").write_text(damage(json.loads((ran[0] / "selection.json").read_text())))
    with pytest.raises(DataError, match=r"selection\.json") as refusal:
        read_selection(tmp_path / "selection.json")
    assert "\n" not in str(refusal.value)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"missing\.json is not the table of a sweep, or is damaged: .*No such file"):
        read_selection(tmp_path / "missing.json")


def test_the_terminal_shows_the_best_and_all_that_is_remarkable(ran):
    table = read_selection(ran[0] / "selection.json")
    assert "ahead of the next" in selection_line(table)
    candidates = selection_table(table).renderables[0].columns[0]._cells
    assert candidates[0] == "full-2"
    assert "tied-1" not in candidates  # far behind
    assert len(candidates) < 24


def failing(n, names):
    """Return a table of n candidates that failed and one that did not."""
    rows = (Row("full-1", "full", 1, 5, bic=10.0, criterion=10.0, delta=0.0, collapsed=tuple(range(9))),)
    failed = tuple(Row(f"full-{k}", "full", k, 5 * k, failed=True, stop_reason=names) for k in range(2, n + 2))
    return Selection("bic", "full-1", rows + failed, {"full": None}, 100.0)


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_still_names_the_candidates(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(
        selection_table(failing(2, "100 rows [/x] cannot be split into that many components, which is a pity"))
    )
    text = console.file.getvalue()
    assert " full-1 " in text
    assert "full-1 has collapsed components: 0, 1, 2, 3 and 5 more" in " ".join(text.split())
    assert "full-2, full-3 failed: 100 rows [/x] cannot be split" in " ".join(text.split())


def test_a_directory_whose_name_looks_like_markup_is_named_as_it_is(here):
    overrides = ("select.n_components=[1]", "select.covariance_type=[full]", "output.directory=runs/[/x]")
    assert "results in runs/[/x]" in run("select", CONFIG, *overrides).output


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_no_sweep_takes_more_iterations_than_it_says(here, criterion):
    overrides = ["select.n_components=[4]", "fit.max_iter=2", "fit.tol=1e-9", f"select.criterion={criterion}"]
    settings, heard = load_config(CONFIG, [*overrides, "select.covariance_type=[full]", "output.directory=run"]), []
    select(settings, heard.append)
    passes = sum(isinstance(event, Iteration) for event in heard)
    most = settings.fit.max_iter + 1
    assert passes <= most
