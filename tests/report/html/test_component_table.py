import dataclasses

import numpy as np

from daskgmm.report.html.component_table import component_table
from tests.report.html.stories import data, mixture


def test_long_names_that_begin_and_end_alike_read_apart():
    names = tuple(f"a_very_long_prefix_of_measurement_channel_number_{i:02d}_in_kelvin" for i in range(8))
    table = component_table(data(mixture(3, 8), names=names))
    assert len(set(table["names"])) == 8
    assert all(f"{i:02d}" in short for i, short in enumerate(table["names"]))
    assert table["titles"] == list(names)


def test_features_that_do_not_fit_beside_each_other_are_in_tables_below():
    of = mixture(3, 8)
    narrow = component_table(data(of))
    assert narrow["groups"] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    far = dataclasses.replace(of, means=of.means + 1.7e9)
    wide = component_table(data(far, far.sample(200, np.random.default_rng(0))[0]))
    assert [at for group in wide["groups"] for at in group] == list(range(8))
    assert max(map(len, wide["groups"])) < 6
