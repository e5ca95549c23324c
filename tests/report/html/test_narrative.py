from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.provenance import TrialHistory
from daskgmm.report.html.narrative import duration, headline, join_words, summary, warnings
from tests.report.html.stories import data, mixture, sweep


def said(told):
    return " ".join(f"{what} {remedy}" for what, remedy in warnings(told))


def test_a_good_fit_is_told_without_warnings():
    told = data(mixture(3, 2, apart=20.0))
    assert headline(told) == "3 clusters in 10,000 rows"
    assert "No two overlap strongly" in summary(told)[1]
    assert "belong to their cluster with a probability of 0.9 or more" in summary(told)[1]
    assert warnings(told) == []


def test_overlapping_pairs_are_named_with_a_remedy():
    means = np.array([[0.0, 0.0], [0.2, 0.0], [30.0, 0.0]])
    told = data(Mixture("diag", np.array([0.3, 0.3, 0.4]), means, np.ones((3, 2))))
    assert "Overlapping strongly (1 would be the same Gaussian): 0 and 1 (1.00)" in summary(told)[1]
    assert "Components 0 and 1 nearly coincide" in said(told)
    assert "smaller model.n_components" in said(told)


def test_one_gaussian_is_told_as_one():
    told = data(mixture(1, 3))
    assert headline(told) == "1 cluster in 10,000 rows"
    assert summary(told)[0].startswith("One Gaussian of full covariance was fitted")
    assert len(summary(told)) == 1


def test_rows_that_are_left_out_are_counted():
    assert "1,000 other rows are left out by a mask" in summary(data(mixture(2, 2), n_left_out=1000))[0]


def test_a_fit_that_did_not_converge_says_so_with_its_remedy():
    told = data(mixture(2, 2, apart=20.0), converged=False)
    assert "EM stopped before it converged" in summary(told)[0]
    assert "The fit stopped at max_iter before convergence. Raise max_iter." in said(told)


def test_empty_components_are_no_clusters():
    of = mixture(3, 2, apart=20.0)
    told = data(replace(of, weights=np.array([0.5, 0.5, 0.0])))
    assert headline(told).startswith("2 clusters")
    assert "the smallest, 1, 50 percent" in summary(told)[1]
    assert "1 of 3 components have no rows: 2. Decrease model.n_components" in said(told)


def test_few_rows_small_components_and_unsure_labels_are_warned_of():
    of = replace(mixture(3, 4, apart=0.1), weights=np.array([0.97, 0.02, 0.01]))
    words = said(data(of, n_rows=100))
    assert "100 rows are few for 44 parameters" in words
    assert "Too few rows for a covariance of 4 features, less than 5, are in components 1 and 2" in words


def test_labels_that_are_a_matter_of_chance_are_warned_of():
    assert "Use probabilities" in said(data(mixture(4, 2, apart=0.2)))


def test_a_component_on_repeated_values_is_named():
    covariances = np.array([[1.0, 1.0], [1.0, 1 / 12]])
    of = Mixture("diag", np.array([0.5, 0.5]), np.array([[0.0, 0.0], [9.0, 9.0]]), covariances)
    assert "Component 1 is as narrow in x1 as it may be" in said(data(of, least=(12**-0.5, 12**-0.5)))
    assert "as narrow" not in said(data(of, least=(1e-6, 1e-6)))


def test_a_winner_that_one_restart_alone_found_is_told():
    ends = (-1.0, -1.5, -1.5)
    told = data(mixture(2, 2, apart=20.0), curves=tuple(TrialHistory("restart", (-3.0, end)) for end in ends))
    assert "Only one of 3 restarts found this optimum (the next is 0.5 nats per row behind)" in said(told)


def test_after_an_update_the_rows_that_are_shown_are_called_new():
    told = data(mixture(2, 2, apart=20.0), n_rows=600)
    updated = replace(told, history=(("new.npy", 600, None),))
    assert (told.sampled, updated.sampled) == ("sampled rows", "sampled new rows")
    assert "percent of the new rows belong to their cluster" in " ".join(summary(updated))


def test_after_an_update_a_model_is_judged_by_all_rows_and_its_passes_are_over_new_ones():
    of = replace(mixture(2, 2, apart=20.0), weights=np.array([0.9, 0.1]))
    told = data(of, n_rows=15)
    assert "Too few rows for a covariance" in said(told)
    assert "15 rows are few" in said(told)
    assert "4 passes over all rows" in " ".join(summary(told))
    kept = SimpleNamespace(data_summary=SimpleNamespace(n_rows=3_015))
    updated = replace(told, history=(("new.npy", 15, None),), model=replace(told.model, kept=kept))
    assert "rows are few" not in said(updated)
    assert "Too few rows" not in said(updated)
    assert "4 passes over the new rows" in " ".join(summary(updated))


def test_restarts_that_the_finalists_left_behind_are_not_told_of():
    curves = (TrialHistory("restart", (-1.0,)), TrialHistory("restart", (-1.5,)), TrialHistory("finalist", (-0.8,)))
    assert "restarts found" not in said(data(mixture(2, 2, apart=20.0), curves=curves))


def test_a_choice_at_the_edge_of_the_sweep_is_told():
    told = said(data(mixture(2, 2, apart=20.0), selection=sweep("full-2", {"full-1": 40.0, "full-2": 30.0})))
    assert "largest that was tried" in told
    assert "hardly tell" not in told


def test_a_choice_that_the_data_hardly_make_is_told():
    told = said(data(mixture(2, 2), selection=sweep("full-2", {"full-1": 40.0, "full-2": 30.0, "tied-3": 31.0})))
    assert "The data hardly tell full-2 from tied-3: the BIC differs by 2 at most." in told
    assert "largest that was tried" not in told


@pytest.mark.parametrize(("seconds", "words"), [(1.25, "1.2 seconds"), (600.0, "10 minutes"), (36000.0, "10.0 hours")])
def test_times_are_told_in_units_that_fit(seconds, words):
    assert duration(seconds) == words


def test_lists_read_as_people_write_them():
    assert [join_words([]), join_words([1]), join_words([1, 2]), join_words([1, 2, 3])] == [
        "",
        "1",
        "1 and 2",
        "1, 2 and 3",
    ]


def test_no_covariances_are_advised_that_the_fit_has_or_that_have_more_parameters():
    told = data(Mixture("spherical", np.array([1 - 1e-4, 1e-4]), np.array([[0.0, 0.0], [30.0, 0.0]]), np.ones(2)))
    assert "Decrease model.n_components." in said(told)
    assert "diag" not in said(told)
