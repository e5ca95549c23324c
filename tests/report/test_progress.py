import io

import numpy as np
import pytest
from rich.console import Console

from daskgmm.core.mixture import Mixture
from daskgmm.core.model import FitSummary, Model
from daskgmm.events import Connected, Iteration, Notice, Phase
from daskgmm.report.inspection import inspection
from daskgmm.report.picture import segmentation
from daskgmm.report.progress import iteration_line, listening

ITERATION = Iteration(
    iteration=3,
    log_likelihood=-1.25,
    gain=1e-3,
    remaining_gain=None,
    seconds=0.5,
    rows_per_second=2e6,
    n_live=1,
    empty_components=(4,),
)


def test_the_line_of_an_iteration_is_stable():
    assert iteration_line(ITERATION) == (
        "iteration   3  log-likelihood -1.250000  gain 1.000e-03  remaining -  0.50 s  2,000,000 rows/s"
        "  empty components 4"
    )


@pytest.mark.parametrize("is_terminal", [False, True])
def test_every_event_is_shown(is_terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=200, highlight=False)
    with listening(console, 10) as listen:
        for event in (Connected("two", "http://here"), Phase("fit", "EM"), Phase("save"), ITERATION, Notice("mind")):
            listen(event)
    text = out.getvalue()
    for shown in (
        "computing on two, dashboard http://here",
        "fit: EM",
        "save",
        iteration_line(ITERATION),
        "note: mind",
    ):
        assert shown in text


def model_of(d):
    mixture = Mixture("diag", np.array([0.25, 0.75]), np.arange(2.0 * d).reshape(2, d), np.ones((2, d)))
    return Model(mixture, None, FitSummary(-1.0, 10.0, 1.0, 2.0, 3.0, 4, False, "stopped at max_iter", (1,)))


def test_inspection_lists_components_by_weight_and_what_it_leaves_out():
    console = Console(file=io.StringIO(), width=200)
    console.print(inspection(model_of(10)))
    text = console.file.getvalue()
    assert text.index("0.7500") < text.index("0.2500")
    assert "2 more features" in text
    assert "stopped at max_iter" in text
    assert "empty components" in text


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("uint8", 1), ("uint16", 1)])
def test_the_segmentation_shows_original_and_mean_colours_side_by_side(dtype, bands):
    top = np.iinfo(dtype).max
    original = np.full((4, 5, bands), top, dtype=dtype)
    labels = np.zeros((4, 5), np.int8)
    picture = np.asarray(segmentation(original, labels, np.zeros((1, bands))))
    assert picture.shape[:2] == (4, 5 + 12 + 5)
    assert (picture[:, :5] == 255).all()
    assert (picture[:, -5:] == 0).all()
