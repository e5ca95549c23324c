"""The candidates of a sweep on a page."""

from daskgmm.core.selection.table import Row, Selection
from daskgmm.report.html.selection import table


def test_structures_of_low_rank_and_with_noise_have_colours_of_their_own():
    types = ["full", "diag", "low_rank_1", "low_rank_2"]
    rows = [Row(f"{one}-2", one, 2, 9, criterion=1.0, delta=0.0, bic=1.0) for one in types]
    rows.append(Row("full+noise-2", "full", 2, 9, criterion=1.0, delta=0.0, bic=1.0, noise=True))
    found = table(Selection("bic", "full-2", tuple(rows), {}, 10.0))
    assert len({row["colour"] for row in found["rows"]}) == len(rows)
