"""daskgmm compare: components of two fits matched, and what moved."""

import io
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from daskgmm.cli.main import main
from daskgmm.core.em.fitted_model import FitSummary, Model
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.matching import compare
from daskgmm.errors import DataError
from daskgmm.report.terminal.comparison import comparison
from daskgmm.storage.formats.model import save_model
from tests import oracles

SUMMARY = FitSummary(-1.0, 10.0, 1.0, 2.0, 3.0, 4, True, "converged")


def mixture(covariance_type="full", k=5, seed=0):
    return Mixture(*oracles.random_parameters(covariance_type, k, 3, seed=seed, spread=3.0))


def taken(one, order):
    """Return the mixture with its components in another order."""
    shared = one.covariance_type == "tied"
    covariances = one.covariances if shared else one.covariances[order]
    return Mixture(one.covariance_type, one.weights[order], one.means[order], covariances)


def model(one, names=("length", "width", "height")):
    return Model(one, names, SUMMARY)


def shown(first, second):
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison(first, second))
    return console.file.getvalue()


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_permutation_is_found_and_nothing_has_moved(covariance_type):
    one, order = mixture(covariance_type), np.array([3, 0, 4, 1, 2])
    result = compare(one, taken(one, order))
    assert {match.first: match.second for match in result.matches} == {int(c): at for at, c in enumerate(order)}
    assert result.weight_variation == pytest.approx(0, abs=1e-12)
    for match in result.matches:
        assert match.distance == pytest.approx(0, abs=1e-10)
        assert match.moved == pytest.approx(0, abs=1e-12)
        assert match.spread_ratio == pytest.approx(1)
    weights = [match.weights[0] for match in result.matches]
    assert weights == sorted(weights, reverse=True)


def test_shift_weight_and_spread_are_those_that_were_made():
    one = Mixture("diag", np.array([0.5, 0.5]), np.array([[0.0, 0.0], [50.0, 0.0]]), np.array([[1.0, 4.0]] * 2))
    other = Mixture("diag", np.array([0.7, 0.3]), np.array([[0.0, -3.0], [50.0, 0.0]]), np.array([[1.0, 4.0]] * 2))
    other = replace(other, covariances=np.array([[1.0, 4.0], [4.0, 16.0]]))
    first, second = compare(one, other).matches
    np.testing.assert_allclose(first.shift, [0, -1.5])
    assert first.moved_most == 1
    assert (first.spread_ratio, second.spread_ratio) == pytest.approx((1, 2))
    assert compare(one, other).weight_variation == pytest.approx(0.2)


def test_a_component_without_counterpart_draws_no_other_one_away():
    unit = np.ones(2)
    one = Mixture("spherical", unit / 2, np.array([[0.0], [10.0]]), unit)
    other = Mixture("spherical", unit / 2, np.array([[-10.0], [0.0]]), unit)
    assert {(match.first, match.second) for match in compare(one, other).matches} == {(0, 1), (1, 0)}


def test_of_different_numbers_of_components_the_rest_is_left_over():
    one = mixture(k=5)
    weights = np.delete(one.weights, 2)
    other = Mixture("full", weights / weights.sum(), np.delete(one.means, 2, 0), np.delete(one.covariances, 2, 0))
    result = compare(one, other)
    assert (result.only_first, result.only_second) == ((2,), ())
    assert result.weight_variation == pytest.approx(one.weights[2])
    assert compare(other, one).only_second == (2,)


def test_empty_components_stay_unmatched():
    one = mixture(k=3)
    weights = one.weights.copy()
    weights[1] = 0
    other = replace(one, weights=weights / weights.sum())
    result = compare(one, other)
    assert {(match.first, match.second) for match in result.matches} == {(0, 0), (2, 2)}
    assert (result.only_first, result.only_second) == ((1,), (1,))


def test_the_table_names_the_feature_that_moved_most():
    one = mixture("diag", k=1)
    other = replace(one, means=one.means + np.array([0, 2 * np.sqrt(one.covariances[0, 1]), 0]))
    text = shown(model(one), model(other))
    assert "width +2" in text
    assert "total variation 0.0000" in text


def test_markup_in_the_name_of_a_feature_is_shown_as_it_is():
    one = mixture("diag", k=1)
    names = ("[red]a", "[bold]b", "[/c]")
    other = replace(one, means=one.means + np.array([0, 2 * np.sqrt(one.covariances[0, 1]), 0]))
    assert "[bold]b +2" in shown(model(one, names), model(other, names))


def test_control_characters_in_the_name_of_a_feature_do_not_act():
    one = mixture("diag", k=1)
    moved = replace(one, means=one.means + np.eye(3)[0])
    text = shown(model(one, ("\x1b[2Ja", "b", "c")), replace(model(moved, None), feature_names=None))
    assert "\x1b" not in text
    assert "?[2Ja" in text


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_no_number_is_cut_at_any_width(width):
    names = tuple(f"a_long_name_{i}" for i in range(3))
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    console.print(comparison(model(mixture(k=3), names), model(mixture(k=4, seed=1), names), width=width))
    lines = console.file.getvalue().splitlines()
    assert not any("…" in line for line in lines)
    assert max(len(line) for line in lines if line[:1] in set("┏┃┡│└")) <= width
    assert sum("┏" in line for line in lines) == {40: 3, 50: 2, 80: 1, 120: 1}[width]


def test_fits_over_other_features_are_refused():
    with pytest.raises(DataError, match="feature 1 is 'width' in one and 'depth' in the other"):
        comparison(model(mixture()), model(mixture(), ("length", "depth", "height")))
    narrow = Mixture(*oracles.random_parameters("full", 2, 2))
    with pytest.raises(DataError, match="over 3 features, the other over 2"):
        comparison(model(mixture()), model(narrow, None))


def test_the_command_compares_two_run_directories(tmp_path):
    save_model(model(mixture(k=3)), tmp_path / "one" / "model.zarr")
    save_model(model(mixture(k=4)), tmp_path / "other" / "model.zarr")
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "one"), str(tmp_path / "other")])
    assert done.exit_code == 0, done.output
    assert "3 components, full" in done.output
    assert "4 components, full" in done.output
    missing = CliRunner().invoke(main, ["compare", str(tmp_path / "one"), str(tmp_path / "nowhere")])
    assert missing.exit_code == 3
