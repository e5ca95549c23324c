"""Many fits in one table."""

from dataclasses import replace

from rich.console import Console

from daskgmm.report.compared_runs import Run, why_incomparable
from daskgmm.report.terminal.runs_table import runs_table
from daskgmm.storage.formats.model import save_model
from tests.cli.test_commands import refused, run
from tests.storage.formats.test_export import model_of


def runs(names):
    return [Run(name, model) for name, model in zip(names, models(), strict=True)]


def models():
    plain = model_of("full")
    better = replace(model_of("diag"), summary=replace(plain.summary, bic=-50.0, converged=False))
    return [plain, better, model_of("tied")]


def test_the_fit_of_the_smallest_bic_comes_first_and_says_whether_it_converged():
    console = Console(width=80, record=True)
    console.print(runs_table(runs("abc")))
    lines = [line.split() for line in console.export_text().splitlines()[1:4]]
    assert [line[0] for line in lines] == ["b", "a", "c"]
    assert "-50.00" in lines[0]
    assert lines[0][-1] == "no"


def test_runs_of_long_names_have_numbers_and_nothing_is_cut():
    names = [f"a/very/long/path/to/a/run/{i}" for i in range(3)]
    console = Console(width=50, record=True)
    console.print(runs_table(runs(names), 50))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 50
    for part in ("-50.00", "converged", "nats/row", *names):
        assert part in text


def test_runs_of_other_rows_are_not_compared_by_criteria():
    first, second, _ = runs("abc")
    assert why_incomparable([first, second]) == []
    summary = replace(second.model.summary, weight_sum=7.0)
    other = replace(second, model=replace(second.model, summary=summary))
    assert why_incomparable([first, other]) == [
        "The criteria of these runs cannot be compared: they were fitted to different rows."
    ]


def test_the_command_takes_three_runs_and_refuses_one(tmp_path):
    for name, model in zip("abc", models(), strict=True):
        save_model(model, tmp_path / name / "model.zarr")
    directories = [str(tmp_path / name) for name in "abc"]
    assert "nats/row" in run("compare", *directories).output
    assert "two or more" in refused("compare", directories[0], code=2)
