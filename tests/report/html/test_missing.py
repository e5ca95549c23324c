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


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_values_that_are_missing_in_one_component_are_warned_of_with_the_evidence(rows, unit):
    rows[:50, 0] = np.nan
    data = story_of(rows, RESP)
    data.row_weights = data.row_weights * unit
    ((what, _),) = not_at_random(data)
    assert "a 0.0 % to 25.0 % (chi-square 57.1); degrees of freedom: 1." in what


def test_a_column_that_is_rarely_missing_is_warned_of_if_that_is_in_one_component():
    rows = np.zeros((20_000, 2))
    rows[:400] = np.nan  # 4 % of the first component
    rows[:400, 1] = 0.0
    ((what, _),) = not_at_random(story_of(rows, np.repeat(np.eye(2), 10_000, axis=0)))
    assert "a 0.0 % to 4.0 % (chi-square 408.2)" in what


def test_values_that_are_missing_everywhere_alike_are_not(rows):
    rows[::8, 0] = np.nan
    assert list(not_at_random(story_of(rows, RESP))) == []
