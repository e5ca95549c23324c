"""The bar of a fit in a notebook."""

import warnings
from dataclasses import replace

import pytest

from daskgmm.events import Iteration
from daskgmm.report.notebook import bar_of

ITERATION = Iteration(
    iteration=8,
    log_likelihood=-1.25,
    gain=0.25,
    remaining_gain=0.25,
    seconds=0.5,
    rows_per_second=2**20,
    n_live=1,
    empty_components=(),
)


def test_the_bar_ends_at_the_estimated_number_of_passes():
    bar = bar_of(ITERATION, 200, 1e-3)  # 8 more are estimated
    assert bar["text/plain"].startswith(" 50%|█████     | 8/16 passes, 0.50 s/pass, log-likelihood -1.250000")
    assert '<progress value="8" max="16">' in bar["text/html"]


def test_without_an_estimate_it_ends_at_max_iter():
    bar = bar_of(replace(ITERATION, gain=None, remaining_gain=None), 31, 1e-3)
    assert " 25%|" in bar["text/plain"]
    assert "8/? passes" in bar["text/plain"]


def test_the_last_pass_fills_it():
    assert bar_of(replace(ITERATION, n_live=0), 200, 1e-12)["text/plain"].startswith("100%|██████████| 8/8 passes")


def test_a_fit_in_a_real_notebook_shows_one_bar():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook's own packages
        nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
        pytest.importorskip("ipykernel")
        code = (
            "import numpy as np\n"
            "from daskgmm import GaussianMixture\n"
            "rows = np.random.default_rng(0).normal(size=(2000, 2))\n"
            "rows[:1000] += 3\n"
            "model = GaussianMixture(2, verbose=1, random_state=0).fit(rows)\n"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    (bar,) = [one for one in outputs if one.output_type == "display_data"]
    assert "100%" in bar.data["text/html"]
    assert "<progress" in bar.data["text/html"]
    assert not [one for one in outputs if one.output_type == "stream"]
