import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from daskgmm.core.em.fitted_model import FitSummary, Model
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.events import Connected, Iteration, Notice, Phase
from daskgmm.observers.console import iteration_line, listen_on
from daskgmm.report.segmentation import segmentation
from daskgmm.report.terminal.model_tables import inspection

ITERATION = Iteration(
    iteration=3,
    objective=-1.25,
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


def test_what_is_raised_is_what_is_printed_where_a_prior_or_old_rows_count_too():
    line = iteration_line(replace(ITERATION, objective=-1.5))
    assert line.startswith("iteration   3  objective -1.500000  gain 1.000e-03")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_every_event_is_shown(is_terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=200, highlight=False)
    with listen_on(console, 10) as listen:
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


@pytest.mark.parametrize("is_terminal", [False, True])
def test_texts_of_data_and_paths_are_shown_as_they_are(is_terminal):
    """Neither markup of rich nor a terminal's control characters act."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=200, highlight=False)
    with listen_on(console, 10) as listen:
        listen(Phase("read", "speed[m].npy"))
        listen(Notice("column [/b] is constant \x1b[2Jas it is"))
        listen(Connected("[red]two", None))
    text = out.getvalue()
    assert "read: speed[m].npy" in text
    assert "note: column [/b] is constant ?[2Jas it is" in text
    assert "computing on [red]two" in text


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


def test_inspection_names_the_nearest_component_and_the_overlap():
    console = Console(file=io.StringIO(), width=200)
    console.print(inspection(model_of(1)))
    text = console.file.getvalue()
    assert [line.split()[7:10:2] for line in text.splitlines() if "0.88" in line] == [["0", "0.88"], ["1", "0.88"]]


def test_inspection_names_no_empty_component_as_the_nearest():
    covariances, weights = np.ones((3, 1)), np.array([0.5, 0.5, 0.0])
    mixture = Mixture("diag", weights, np.array([[0.0], [9.0], [0.1]]), covariances)
    console = Console(file=io.StringIO(), width=200)
    console.print(inspection(replace(model_of(1), mixture=mixture)))
    rows = [line.split()[1:8:6] for line in console.file.getvalue().splitlines() if " 0.5000 " in line]
    assert rows == [["0", "1"], ["1", "0"]]


def test_inspection_breaks_no_column_of_a_narrow_terminal():
    console = Console(file=io.StringIO(), width=60)
    console.print(inspection(model_of(10), 60))
    text = console.file.getvalue()
    assert "…" not in text
    assert "17.0 ± 1.0" in text


def test_inspection_shows_markup_in_the_name_of_a_feature_as_it_is():
    console = Console(file=io.StringIO(), width=200)
    console.print(inspection(replace(model_of(2), feature_names=("[red]a", "[/b]"))))
    assert "[red]a" in console.file.getvalue()
    assert "[/b]" in console.file.getvalue()


@pytest.mark.parametrize(("k", "d"), [(1, 1), (500, 2), (500, 200)])
def test_inspection_of_any_size_comes_at_once(k, d):
    mixture = Mixture("full", np.full(k, 1 / k), np.arange(k * d).reshape(k, d) * 1.0, np.tile(np.eye(d), (k, 1, 1)))
    console = Console(file=io.StringIO(), width=300)
    console.print(inspection(replace(model_of(1), mixture=mixture)))
    assert ("1 component," if k == 1 else f"{k} components,") in console.file.getvalue()


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("uint8", 1), ("uint16", 1)])
def test_the_segmentation_shows_original_and_mean_colours_side_by_side(dtype, bands):
    top = np.iinfo(dtype).max
    original = np.full((4, 5, bands), top, dtype=dtype)
    labels = np.zeros((4, 5), np.int8)
    picture = np.asarray(segmentation(original, labels, np.zeros((1, bands))))
    assert picture.shape[:2] == (4, 5 + 12 + 5)
    assert (picture[:, :5] == 255).all()
    assert (picture[:, -5:] == 0).all()
