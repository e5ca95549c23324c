"""The report on missing values: shares by component, patterns, and the warning where they hang on the component."""

from types import SimpleNamespace

import numpy as np
import pytest

from daskgmm.report.html.missing import missing_values, not_at_random


def story_of(rows, resp):
    k = resp.shape[1]
    return SimpleNamespace(
        stored_rows=rows,
        resp=resp,
        row_weights=np.ones(len(rows)),
        colours=("#111111",) * k,
        names=("a", "b"),
        shown_components=np.arange(k),
        mixture=SimpleNamespace(n_components=k),
    )


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(400, 2))


RESP = np.repeat(np.eye(2), 200, axis=0)


def test_shares_are_those_of_the_rows_of_each_component(rows):
    rows[:50, 0] = np.nan
    rows[:4] = np.nan
    table = missing_values(story_of(rows, RESP))
    assert table["features"] == ["a", "b"]
    assert table["all"] == ["12.5 %", "1.0 %"]
    assert [shares[1] for *_, shares in table["rows"]] == ["0.0 %", "0.0 %"]  # rows without any value are of none
    assert table["patterns"] == [("nothing", "87.5 %"), ("a", "11.5 %"), ("all features", "1.0 %")]


def test_nothing_is_shown_of_rows_without_gaps(rows):
    assert missing_values(story_of(rows, RESP)) is None
    assert list(not_at_random(story_of(rows, RESP))) == []


def test_values_that_are_missing_in_one_component_are_warned_of_with_the_evidence(rows):
    rows[:50, 0] = np.nan
    ((what, _),) = not_at_random(story_of(rows, RESP))
    assert "a is missing in 0.0 % to 25.0 %" in what
    assert "chi-square 57.1 with 1 degrees of freedom" in what


def test_values_that_are_missing_everywhere_alike_are_not(rows):
    rows[::8, 0] = np.nan
    assert list(not_at_random(story_of(rows, RESP))) == []
