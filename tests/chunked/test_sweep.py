"""A whole sweep over chunked rows: data summary, one sample, shared passes."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.datasets import load_iris

from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.rows import Rows
from daskgmm.chunked.sweep import SweepExpectation, batches, bytes_in_pass
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.core.options.select import SelectOptions
from daskgmm.core.selection.folds import FoldSplit
from daskgmm.events import ignore
from daskgmm.fitting.sweep import SelectionSpec, search
from tests import oracles


def sweep(rows, sizes, covariance_type=tuple(oracles.STRUCTURES), fit=None, **options):
    """Return what the sweep finds; rows may be an array."""
    rows = rows if isinstance(rows, Rows) else Rows.of_memory(rows)
    spec = SelectionSpec(SelectOptions(sizes, covariance_type, **options), ModelOptions(), fit or FitOptions(), 0)
    data_summary, sample = summarise_and_sample(rows, spec.n_sample(rows.n_features), spec.seed)
    return search(rows, data_summary, sample, spec, ignore)


def clusters(n=3000, d=2):
    return oracles.draw(oracles.random_parameters("full", 3, d, seed=4, spread=5.0), n)[0]


def test_faithful_has_three_clusters_of_one_shape(faithful):
    """Mclust: EEE, k = 3, BIC -2314.316 in its sign."""
    chosen = sweep(faithful, "1..6").selection.chosen
    assert chosen.name == "tied-3"
    assert -2314.316 <= round(-chosen.bic, 3) < -2314.2


def test_iris_has_two_clusters_of_their_own_shapes():
    """Mclust: VVV, k = 2, BIC -574.018; more components collapse onto repeated rows, and are marked."""
    table = sweep(load_iris().data, "1..6").selection
    assert table.best == "full-2"
    assert round(-table.chosen.bic, 3) >= -574.018


def test_galaxies_have_three_clusters_of_unequal_variances(galaxies):
    """Mclust: V, k = 3, BIC -441.612; in one dimension full, diag and spherical are one."""
    table = sweep(galaxies, "1..6").selection
    assert table.chosen.n_components == 3
    assert table.chosen.covariance_type != "tied"
    assert round(-table.chosen.bic, 3) >= -441.612


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("leave_early", [True, False])
def test_the_log_likelihood_never_decreases_with_the_size_of_a_structure(faithful, leave_early):
    table = sweep(faithful, "1..8", leave_early=leave_early).selection
    for covariance_type in oracles.STRUCTURES:
        own = [row for row in table.rows if row.covariance_type == covariance_type and not row.collapsed]
        assert (np.diff([row.log_likelihood for row in own]) >= 0).all()


def test_leaving_early_changes_the_passes_and_not_the_choice(faithful):
    early, patient = (sweep(faithful, "1..5", leave_early=one) for one in (True, False))
    assert early.best == patient.best
    assert early.trial.history == pytest.approx(patient.trial.history, rel=1e-9)
    n_passes = [sum(state.iteration for state in one.sweep.states.values()) for one in (early, patient)]
    assert n_passes[0] < n_passes[1]


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_any_chunking_leads_to_the_same_table(criterion):
    array = clusters(600)
    tables = [
        sweep(Rows(da.from_array(array, chunks=(chunk, 2))), "1..4", ("full", "tied"), criterion=criterion).selection
        for chunk in (600, 250, 41)
    ]
    for other in tables[1:]:
        assert other.best == tables[0].best
        for one, same in zip(other.rows, tables[0].rows, strict=True):
            assert one.criterion == pytest.approx(same.criterion, rel=1e-6)


def test_rows_are_read_once_for_the_data_summary_and_once_for_each_pass():
    array, reads = clusters(2000), []

    def read(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(array, chunks=(500, 2)).map_blocks(read, dtype=array.dtype, meta=np.empty((0, 2)))
    found = sweep(Rows(lazy), "1..4")
    assert len(found.sweep.states) == 16
    assert len(reads) == 4 * (1 + found.sweep.iteration)


def test_rows_held_out_choose_the_number_of_clusters():
    table = sweep(clusters(), "1..5", ("full",), criterion="heldout", folds=4).selection
    assert table.best == "full-3"
    assert all(len(row.held_out_folds) == 4 for row in table.rows)
    gain = table.rows[2].held_out - table.rows[1].held_out
    assert gain > 5 * table.rows[2].held_out_error
    assert table.rows[3].delta < gain / 20


def test_a_fold_gives_what_a_fit_to_the_other_rows_gives_of_its_own():
    """From the same start, one pass: the statistics of the rows outside, the log-likelihood of those inside."""
    array, dealing = clusters(500), FoldSplit(3, seed=5)
    rows = Rows(da.from_array(array, chunks=(123, 2)))
    data_summary, _ = summarise_and_sample(rows, 10, 0)
    mixture = Mixture(*oracles.random_parameters("tied", 3, 2, seed=4, spread=5.0))
    expect = SweepExpectation(rows, data_summary, dealing)
    scored = expect((mixture,) * 4, (0, 1, 2, None))
    whole = scored[3].statistics.log_likelihood
    for one in scored[:3]:
        assert one.statistics.log_likelihood + one.held_out.log_likelihood == pytest.approx(whole, rel=1e-10)
    assert sum(one.held_out.weight_sum for one in scored) == 500


def test_row_weights_count_as_repeated_rows():
    array = clusters(800)
    times = np.random.default_rng(0).integers(0, 3, len(array))
    weighted = sweep(Rows.of_memory(array, times.astype(float)), "1..4", ("full",)).selection
    repeated = sweep(np.repeat(array, times, axis=0), "1..4", ("full",)).selection
    assert weighted.best == repeated.best
    assert weighted.weight_sum == times.sum()
    assert weighted.chosen.bic == pytest.approx(repeated.chosen.bic, rel=1e-4)


def test_more_components_than_rows_fail_and_the_sweep_goes_on():
    array = np.random.default_rng(0).normal(size=(6, 1))
    table = sweep(array, (1, 7), ("diag",)).selection
    assert table.best == "diag-1"
    assert table.rows[1].failed
    assert "6 rows" in table.rows[1].stop_reason


def test_sizes_with_gaps_grow_over_them():
    table = sweep(clusters(), (1, 3, 7), ("full",)).selection
    assert [row.n_components for row in table.rows] == [1, 3, 7]
    assert table.best == "full-3"


def test_finalists_of_a_candidate_share_its_passes_and_the_best_of_them_counts():
    found = sweep(clusters(), (2, 3), ("full",), fit=FitOptions(n_finalists=3))
    state = found.sweep.states["full-3"]
    assert len(state.trials) == 3
    assert found.trial is state.best
    assert found.selection.best == "full-3"


def test_batches_are_consecutive_and_none_exceeds_the_limit_but_a_single_one():
    assert list(batches([3, 3, 3, 9, 1], 6)) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 5)]
    assert list(batches([], 6)) == []


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize("some_rows", [False, True])
def test_what_a_pass_carries_is_counted_at_least(covariance_type, some_rows):
    array = clusters(200, 5)
    mixture = Mixture(*oracles.random_parameters(covariance_type, 4, 5))
    data_summary, _ = summarise_and_sample(Rows.of_memory(array), 200, 0)
    coefficients = prepare(mixture, data_summary, some_rows=some_rows)
    counted = bytes_in_pass(4, 5, covariance_type, some_rows=some_rows)
    assert coefficients.theta.nbytes <= counted <= 2 * 8 * 4 * 25


def test_candidates_in_small_batches_take_more_reads_and_give_the_same():
    array = clusters(500)
    rows = Rows.of_memory(array)
    data_summary, _ = summarise_and_sample(rows, 10, 0)
    mixtures = tuple(Mixture(*oracles.random_parameters(one, k, 2)) for one in oracles.STRUCTURES for k in (1, 3))
    whole = SweepExpectation(rows, data_summary, FoldSplit())
    small = replace(whole, batch_bytes=200)
    folds = (None,) * len(mixtures)
    for one, other in zip(whole(mixtures, folds), small(mixtures, folds), strict=True):
        np.testing.assert_allclose(one.statistics.sums, other.statistics.sums, rtol=1e-10, atol=1e-9)


def known(seed):
    """Return rows (20,000, d) of k clusters, and k: the nearest two are 6 or 3 standard deviations apart."""
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(2, 17)), int(rng.integers(2, 13))
    means = rng.normal(size=(k, d))
    nearest = min(np.linalg.norm(means[i] - means[j]) for i in range(k) for j in range(i))
    weights = rng.dirichlet(np.full(k, 5.0)) + 0.02
    turns = [ortho_group.rvs(d, random_state=rng) for _ in range(k)]
    covariances = np.array([(turn * rng.uniform(0.4, 1.6, d)) @ turn.T for turn in turns])
    mixture = Mixture("full", weights / weights.sum(), means * (6.0, 3.0)[seed % 2] / nearest, covariances)
    return rng.permutation(mixture.sample(20_000, rng)[0]), k


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bic_finds_the_number_of_clusters_in_9_of_10_problems():
    right = 0
    for seed in range(10):
        rows, k = known(seed)
        right += sweep(rows, f"1..{k + 3}", ("full",)).best.n_components == k
    assert right >= 9
