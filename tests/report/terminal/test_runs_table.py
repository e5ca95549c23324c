"""Many fits in one table."""

from dataclasses import replace

from rich.console import Console

from daskgmm.report.terminal.runs_table import runs_table
from daskgmm.storage.formats.model import save_model
from tests.cli.test_commands import refused, run
from tests.storage.formats.test_export import model_of


def models():
    plain = model_of("full")
    better = replace(model_of("diag"), summary=replace(plain.summary, bic=-50.0, converged=False))
    return [plain, better, model_of("tied")]


def test_the_fit_of_the_smallest_bic_comes_first_and_says_whether_it_converged():
    console = Console(width=80, record=True)
    console.print(runs_table(models(), ["a", "b", "c"]))
    lines = [line.split() for line in console.export_text().splitlines()[1:4]]
    assert [line[0] for line in lines] == ["b", "a", "c"]
    assert "-50.00" in lines[0]
    assert lines[0][-1] == "no"


def test_long_names_of_runs_are_folded_and_no_number_is_cut():
    console = Console(width=50, record=True)
    console.print(runs_table(models(), [f"a/very/long/path/to/a/run/{i}" for i in range(3)], 50))
    text = console.export_text()
    assert "…" not in text
    for number in ("-50.00", "converged", "nats/row"):
        assert number in text


def test_the_command_takes_three_runs_and_refuses_one(tmp_path):
    for name, model in zip("abc", models(), strict=True):
        save_model(model, tmp_path / name / "model.zarr")
    directories = [str(tmp_path / name) for name in "abc"]
    assert "nats/row" in run("compare", *directories).output
    assert "two or more" in refused("compare", directories[0], code=2)
