"""Each display draws what it says, on given axes or its own, from arrays in memory and lazy ones."""

import dask.array as da
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from daskgmm import GaussianMixture, GaussianMixtureSelector, plots
from daskgmm.errors import DataError

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(200, 3)) * (1, 0.5, 2) + centre for centre in (0, 8, (16, 0, 0))])


@pytest.fixture(autouse=True)
def drawn_off_screen():
    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module", params=["full", "diag"])
def model(request):
    return GaussianMixture(3, covariance_type=request.param, n_init=1, random_state=0).fit(X)


def render(display):
    display.figure_.canvas.draw()
    return display


def test_two_features_have_an_ellipse_for_each_deviation_of_each_component(model):
    _, ax = plt.subplots()
    display = render(plots.ClustersDisplay.from_estimator(model, X, features=[0, "x2"], ax=ax))
    assert display.axes_[0, 0] is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x0", "x2")
    assert len(ax.lines) == 2 * 3
    x, _ = ax.lines[0].get_data()
    component = int(np.argmin(abs(model.means_[:, 0] - x.mean())))
    deviation = np.sqrt(np.atleast_3d(model.covariances_)[component, 0, 0])
    assert (x.max() - x.min()) / 2 == pytest.approx(deviation, rel=2e-3)
    assert len(ax.collections[0].get_offsets()) == 600


def test_more_features_are_a_matrix_of_pairs(model):
    display = render(plots.ClustersDisplay.from_estimator(model, da.from_array(X, chunks=(100, 3)), n_rows=50))
    assert display.axes_.shape == (3, 3)
    assert display.rows.shape == (50, 3)


def test_a_feature_that_there_is_not_is_refused(model):
    with pytest.raises(DataError, match="there is no feature 'depth'"):
        plots.MarginalsDisplay.from_estimator(model, X, feature="depth")


def test_the_course_of_a_fit_is_drawn(model):
    display = render(plots.ConvergenceDisplay.from_estimator(model))
    assert display.ax_.lines[0].get_ydata()[-1] == model.lower_bound_


def test_the_marginal_density_has_the_mass_of_the_mixture(model):
    display = render(plots.MarginalsDisplay.from_estimator(model, X, feature="x1"))
    at, density = display.ax_.lines[-1].get_data()
    assert np.trapezoid(density, at) == pytest.approx(1, abs=0.03)


def test_certainties_are_percents_of_all_rows(model):
    display = render(plots.UncertaintyDisplay.from_estimator(model, X))
    assert sum(bar.get_height() for part in display.ax_.containers for bar in part) == pytest.approx(100)


def test_the_overlap_of_components_is_written_into_the_cells(model):
    display = render(plots.OverlapDisplay.from_estimator(model))
    assert len(display.ax_.texts) == 6
    assert display.overlap.max() <= 1 + 1e-12


def test_the_best_candidate_is_marked_on_the_curve_of_its_type():
    selector = GaussianMixtureSelector([1, 2, 3, 4], covariance_type=("full", "diag"), n_init=1, random_state=0).fit(X)
    display = render(plots.SelectionDisplay.from_estimator(selector))
    marked = [line for line in display.ax_.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in marked] == [selector.best_params_["n_components"]]
    assert marked[0].get_ydata()[0] == selector.best_score_


def test_the_chosen_number_of_clusters_is_marked(model):
    merged = model.merge_components(X, 2)
    display = render(plots.MergingDisplay.from_merged(merged))
    assert display.ax_.lines[1].get_xdata()[0] == 2


def test_a_map_has_the_coordinates_of_its_grid(model):
    grid = X.reshape(20, 30, 3)
    dims = {"lat": np.linspace(-10, 10, 20), "lon": np.linspace(0, 60, 30)}
    cube = xr.DataArray(grid, coords=dims, dims=("lat", "lon", "feature"))
    display = render(plots.MapDisplay.from_estimator(model, cube))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("lon", "lat")
    assert display.ax_.get_xlim()[1] > 60
    np.testing.assert_array_equal(display.labels.ravel(), model.predict(X))
    plain = render(plots.MapDisplay.from_estimator(model, da.from_array(grid, chunks=(10, 30, 3))))
    assert plain.coordinates is None
    with pytest.raises(DataError, match="grid of two axes"):
        plots.MapDisplay.from_estimator(model, X)


def test_rows_with_names_are_drawn_without_a_warning():
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["width", "length"])
    model = GaussianMixture(1, random_state=0).fit(rows)
    assert plots.ClustersDisplay.from_estimator(model, rows).axes_[0, 0].get_xlabel() == "width"
    plots.UncertaintyDisplay.from_estimator(model, rows)
