"""Which cases of long lists run by default, and which on which day."""

from itertools import chain
from types import SimpleNamespace

import pytest

from .conftest import DAYS_OF_SAMPLED_TESTS, DAYS_OF_SLOW_TESTS, cases_of_other_days, mark_sampled


class Case:
    """A case of a parametrised test, as far as the choice goes."""

    def __init__(self, number, **markers):
        self.nodeid, self.markers = f"test_file.py::test[{number}]", markers

    def get_closest_marker(self, name):
        return self.markers.get(name)

    def add_marker(self, marker):
        self.markers[marker.name] = marker


def cases(**markers):
    return [Case(number, **markers) for number in range(20)]


def every(number):
    return SimpleNamespace(kwargs={"every": number})


def chosen(items, day):
    others = cases_of_other_days(items, day)
    return [item.nodeid for item in items if item not in others]


def test_each_slow_case_has_its_day():
    items = cases(slow=pytest.mark.slow, rotated=every(4))
    days = [chosen(items, day) for day in range(739000, 739004)]
    assert sorted(chain.from_iterable(days)) == sorted(item.nodeid for item in items)
    assert {len(day) for day in days} == {5}


def test_sampled_cases_run_by_default_each_day_and_the_others_in_turn():
    items = cases(sampled=every(5))
    mark_sampled(items)
    fast = [item.nodeid for item in items if item.get_closest_marker("slow") is None]
    assert len(fast) == 4
    days = [chosen(items, day) for day in range(DAYS_OF_SAMPLED_TESTS)]
    assert all({*fast} <= {*day} for day in days)
    assert sum(len(day) - 4 for day in days) == 16


def test_other_slow_tests_run_every_other_day():
    items = cases(slow=pytest.mark.slow)
    days = [chosen(items, day) for day in range(739000, 739000 + DAYS_OF_SLOW_TESTS)]
    assert sorted(chain.from_iterable(days)) == sorted(item.nodeid for item in items)
    assert {len(day) for day in days} == {20 // DAYS_OF_SLOW_TESTS}


def test_others_run_each_day():
    assert len(chosen(cases(), 1)) == len(chosen(cases(), 2)) == 20
