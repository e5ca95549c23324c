"""Rows on principal components: found in one read, made where a chunk is loaded."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from daskgmm.chunked.projection import find_projection, project_lazily, project_rows
from daskgmm.chunked.rows import Rows
from daskgmm.core.options.reduce import Reduce
from daskgmm.errors import ConfigurationError, DataError

from ..oracles import principal_components


def wide_rows(n: int, d: int, rank: int = 4, noise: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(n, rank)) * np.arange(rank, 0, -1)
    return (spread @ rng.normal(size=(rank, d)) + noise * rng.normal(size=(n, d))) * np.logspace(-3, 3, d) + 1e4


def chunked(rows: np.ndarray, weights: np.ndarray | None = None) -> Rows:
    array = da.from_array(rows, chunks=(len(rows) // 3, -1))
    return Rows(array, None if weights is None else da.from_array(weights, chunks=len(rows) // 3))


@pytest.mark.parametrize("d", [12, 600])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_are_projected_on_the_components_of_all_of_them(d, weighted):
    rows = wide_rows(900, d)
    weights = np.random.default_rng(1).integers(0, 3, 900).astype(float) if weighted else None
    data = chunked(rows, weights)
    projection, _ = find_projection(data, Reduce(features=4), seed=0)
    expected, residual = principal_components(rows, weights, 4)
    found = project_rows(data, projection).array.compute()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-7)
    np.testing.assert_allclose(projection.residual, residual, atol=1e-9)
    np.testing.assert_allclose(projection.restore(found).mean(axis=0), rows.mean(axis=0), rtol=0.2)


def test_as_many_components_are_taken_as_hold_the_share_of_the_variance():
    rows = wide_rows(900, 600, rank=100, noise=0.5)
    correlations = np.corrcoef(rows, rowvar=False)
    shares = np.cumsum(np.linalg.eigvalsh(correlations)[::-1]) / 600
    for share in (0.5, 0.9):
        found, _ = find_projection(chunked(rows), Reduce(variance=share), seed=0)
        assert found.n_features == np.searchsorted(shares, share) + 1
    assert find_projection(chunked(rows[:, :20]), Reduce(variance=0.9), seed=0)[0].n_features < 20


def test_float32_rows_stay_float32_and_lazy_rows_are_projected_alike():
    rows = wide_rows(600, 12).astype(np.float32)
    data = chunked(rows)
    projection, _ = find_projection(data, Reduce(features=3), seed=0)
    found = project_rows(data, projection).array
    lazily = project_lazily(data.array.rechunk((200, 5)), projection)
    assert found.dtype == lazily.dtype == np.float32
    np.testing.assert_array_equal(found.compute(), lazily.compute())


def test_rows_of_weight_0_are_not_looked_at_and_others_are_named():
    rows = wide_rows(600, 12)
    projection, _ = find_projection(chunked(rows), Reduce(features=3), seed=0)
    rows[250, 7] = np.nan
    weights = np.ones(600)
    with pytest.raises(DataError, match="row 250, column 7 is nan"):
        project_rows(chunked(rows, weights), projection).array.compute()
    weights[250] = 0
    projected = project_rows(chunked(rows, weights), projection).array.compute()
    assert np.isfinite(np.delete(projected, 250, axis=0)).all()
    rows[250] = np.nan  # a row without values is left out
    assert np.isnan(project_lazily(chunked(rows).array, projection)[250]).all().compute()


def test_what_cannot_be_projected_is_refused():
    rows = wide_rows(300, 8, rank=3, noise=0.0)
    with pytest.raises(ConfigurationError, match="asks for 8 principal components of 8 columns"):
        find_projection(chunked(rows), Reduce(features=8), seed=0)
    with pytest.raises(DataError, match="5 principal components, but the rows vary in 3 directions only"):
        find_projection(chunked(rows), Reduce(features=5), seed=0)
    for reduce in (Reduce(features=5), Reduce(variance=0.9)):
        with pytest.raises(DataError, match="all rows are the same"):
            find_projection(chunked(np.ones((300, 8))), reduce, seed=0)
    projection, _ = find_projection(chunked(rows), Reduce(features=2), seed=0)
    for project in (project_rows, lambda data, projection: project_lazily(data.array, projection)):
        with pytest.raises(DataError, match="the data have 7 features, but the model was fitted on 8"):
            project(chunked(rows[:, :7]), projection)


def test_constant_columns_have_no_part_in_the_axes():
    rows = wide_rows(300, 8)
    rows[:, 2] = 5.0
    projection, _ = find_projection(chunked(rows), Reduce(features=3), seed=0)
    np.testing.assert_allclose(projection.axes[2], 0, atol=1e-12)
    assert projection.residual[2] < 1e-12
