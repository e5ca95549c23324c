"""All reference answers that the repository has copies of are reached, by the checks of tests.references."""

import pytest

from tests.references.__main__ import CHECKS, check_of, main, row
from tests.references.answers import Answer, Folder

SLOW = {"bootstrap_lrt", "families_faithful", "missing", "noise"}  # fits from own starts, or of many types


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in Folder().names]
)
def test_the_answers_of_a_list_are_reached(name):
    answers = list(check_of(name)(Folder(), name))
    assert answers
    assert [one for one in answers if not one.reached] == []


def test_every_kind_of_list_is_tested():
    assert {check_of(name) for name in Folder().names} == set(CHECKS.values())


def test_a_line_of_the_table_counts_what_is_reached():
    answers = [Answer("a", 1.0, 0.1), Answer("b", -0.05, 0.1), Answer("c", -0.2, 0.1)]
    assert row("list", answers).split() == ["list", "3", "2", "-0.2"]
    assert row("list", [Answer("of another kind", float("nan"), 0.1)]).split() == ["list", "1", "0", "nan"]


def test_the_command_prints_a_line_for_each_list(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["references", "conditional", "t_mixtures"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["conditional", "3", "3"]
    assert lines[2].startswith("t_mixtures")
    assert "not compared" in lines[2]
