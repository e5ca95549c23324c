"""The bars of a fit and of a sweep in a notebook."""

import warnings
from dataclasses import replace

import pytest

from daskgmm.events import Iteration
from daskgmm.observers.notebook import bar_of_fit, bar_of_sweep

ITERATION = Iteration(
    iteration=8,
    objective=-1.25,
    log_likelihood=-1.25,
    gain=0.25,
    remaining_gain=0.25,
    seconds=0.5,
    rows_per_second=2**20,
    n_live=1,
    empty_components=(),
)


def test_the_bar_ends_at_the_estimated_number_of_passes():
    bar = bar_of_fit(ITERATION, 200, 1e-3)  # 8 more are estimated
    assert bar["text/plain"].startswith(" 50%|█████     | 8/16 passes, 0.50 s/pass, log-likelihood -1.250000")
    assert '<progress value="8" max="16">' in bar["text/html"]


def test_without_an_estimate_it_ends_at_max_iter():
    bar = bar_of_fit(replace(ITERATION, gain=None, remaining_gain=None), 31, 1e-3)
    assert " 25%|" in bar["text/plain"]
    assert "8/? passes" in bar["text/plain"]


def test_the_last_pass_fills_it():
    bar = bar_of_fit(replace(ITERATION, n_live=0), 200, 1e-12)
    assert bar["text/plain"].startswith("100%|██████████| 8/8 passes")


def test_the_bar_of_a_sweep_is_of_the_candidates_that_have_left():
    bar = bar_of_sweep(replace(ITERATION, n_live=3), 12)
    assert bar["text/plain"].startswith(" 75%|████████  | 9/12 candidates done, pass 8, 0.50 s/pass")
    assert '<progress value="9" max="12">' in bar["text/html"]
    assert bar_of_sweep(replace(ITERATION, n_live=0), 12)["text/plain"].startswith("100%|██████████| 12/12")


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", ["GaussianMixture(2, verbose=1, random_state=0)", "GaussianMixtureSelector(range(1, 4), verbose=1)"]
)
def test_a_fit_in_a_real_notebook_shows_one_bar(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook's own packages
        nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
        pytest.importorskip("ipykernel")
        code = (
            "import numpy as np\n"
            "from daskgmm import GaussianMixture, GaussianMixtureSelector\n"
            "rows = np.random.default_rng(0).normal(size=(2000, 2))\n"
            "rows[:1000] += 3\n"
            f"model = {estimator}.fit(rows)\n"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    (bar,) = [one for one in outputs if one.output_type == "display_data"]
    assert "100%" in bar.data["text/html"]
    assert "<progress" in bar.data["text/html"]
    assert not [one for one in outputs if one.output_type == "stream"]
