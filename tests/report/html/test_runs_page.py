"""Many fits on one page: the values of the table on the terminal, curves, and what moved."""

import re
from dataclasses import replace

import pytest

from daskgmm.report.compared_runs import Run, rank_runs, table_rows
from daskgmm.report.html.runs_page import contents, runs_page
from daskgmm.storage.formats.model import save_model
from tests.cli.test_commands import refused, run
from tests.report.html.stories import data, mixture


def fit_of(name, k, bic, *, d=2, seed=0, **changes):
    told = data(mixture(k, d, seed=seed))
    summary = replace(told.model.summary, bic=bic, **changes)
    return Run(name, replace(told.model, summary=summary), told.record)


@pytest.fixture(scope="module")
def runs():
    return [
        fit_of("runs/two", 2, -10.0),
        fit_of("runs/three", 3, -25.0),
        fit_of("<b>four</b>", 4, 5.0, converged=False),
    ]


def same_rows(runs):
    """Give all runs the record of the first."""
    return [replace(one, record=runs[0].record) for one in runs]


def test_the_page_has_the_table_of_the_terminal_and_needs_nothing_else(runs):
    text = runs_page(same_rows(runs))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", text.split("<tbody>")[1].split("</tbody>")[0])
    expected = [cell for row in table_rows(rank_runs(runs)) for cell in row]
    assert [cell.replace("\N{MINUS SIGN}", "-") for cell in cells] == [
        cell.replace("<", "&lt;").replace(">", "&gt;") for cell in expected
    ]
    assert "<b>four</b>" not in text
    assert not re.search(r"<script|<link rel=.stylesheet|src=.http|url\(http", text)


def test_the_best_and_the_unconverged_are_named(runs):
    shown = contents(same_rows(runs))
    assert shown["summary"] == (
        "By BIC, runs/three is the best, 3 components of full covariance: 15.00 ahead of runs/two."
    )
    assert shown["warnings"] == ["Stopped before they converged: <b>four</b>."]
    assert [one.title for one in shown["drawings"]] == ["BIC by the number of components", "Convergence on all rows"]


def test_runs_of_other_rows_are_shown_without_curves_and_a_choice(runs):
    shown = contents([runs[0], fit_of("other", 2, -50.0, seed=3)])
    assert "different rows" in shown["warnings"][0]
    assert "best" not in shown["summary"]
    assert shown["drawings"] == []


def test_runs_over_other_features_are_not_matched(runs):
    (match,) = contents([runs[0], fit_of("wide", 2, -50.0, d=3)])["matches"]
    assert match.rows == []
    assert "one is over 3 features, the other over 2" in match.text


def test_the_command_writes_a_page_once(runs, tmp_path):
    for at, one in enumerate(runs):
        save_model(one.model, tmp_path / str(at) / "model.zarr")
    arguments = ("compare", *(str(tmp_path / str(at)) for at in range(3)), "--html", str(tmp_path / "page.html"))
    assert str(tmp_path / "page.html") in run(*arguments).output
    assert "3 fits compared" in (tmp_path / "page.html").read_text()
    assert "--overwrite" in refused(*arguments, code=2)
    run(*arguments, "--overwrite")
