"""AnnData: what anndata writes is read to the same numbers and names, in HDF5 and zarr."""

import h5py
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

X = np.random.default_rng(0).standard_normal((6, 4)).astype("f4")
EVERYTHING = (slice(None), slice(None))


def put_index(group, name, values):
    table = group.create_group(name)
    table.attrs.update({"encoding-type": "dataframe", "_index": "_index"})
    table.create_dataset("_index", data=np.array(values, dtype=object), dtype=h5py.string_dtype())
    return table


def write(path, **arrays_by_name):
    """Write the documented layout, with a column of cells."""
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        cells = put_index(file, "obs", [f"cell{i}" for i in range(6)])
        cells["in_tissue"] = np.arange(6) % 2 == 0
        put_index(file, "var", [f"gene{i}" for i in range(4)])
        for name, values in arrays_by_name.items():
            file[name] = values
    return str(path)


def test_principal_components_are_the_rows_if_they_are_there(tmp_path):
    path = write(tmp_path / "a.h5ad", **{"X": X, "obsm/X_pca": X[:, :2] * 2, "layers/raw": X + 1})
    source = open_source(DataOptions(path))
    np.testing.assert_array_equal(source.array[EVERYTHING], X[:, :2] * 2)
    assert source.coordinates["obs"].values.tolist() == [f"cell{i}" for i in range(6)]
    np.testing.assert_array_equal(open_source(DataOptions(path, array="layers/raw")).array[EVERYTHING], X + 1)


def test_genes_name_the_features_of_x_and_columns_of_cells_are_masks(tmp_path):
    source = open_source(DataOptions(write(tmp_path / "a.h5ad", X=X), mask="obs/in_tissue"))
    np.testing.assert_array_equal(source.array[EVERYTHING], X)
    assert source.feature_names == ("gene0", "gene1", "gene2", "gene3")
    assert source.valid[(slice(None),)].tolist() == [True, False] * 3


def test_a_sparse_matrix_is_refused_with_a_remedy(tmp_path):
    path = write(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        file.create_group("X").attrs["encoding-type"] = "csr_matrix"
    group = zarr.create_group(str(tmp_path / "a.zarr"), attributes={"encoding-type": "anndata"})
    group.create_group("X", attributes={"encoding-type": "csc_matrix"})
    for one, kind in ((path, "csr"), (str(tmp_path / "a.zarr"), "csc")):
        with pytest.raises(DataError, match=f"X is a {kind}_matrix, .* principal components"):
            open_source(DataOptions(one))


@pytest.mark.filterwarnings("ignore")  # of anndata and the libraries below it, of their own future
@settings(max_examples=8, deadline=None)
@given(
    values=arrays("f4", st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=st.floats(-9, 9, width=32)),
    pca=st.booleans(),
)
def test_what_anndata_writes_is_read(tmp_path_factory, values, pca):
    anndata = pytest.importorskip("anndata", reason="needs the package anndata")
    folder = tmp_path_factory.mktemp("anndata")
    data = anndata.AnnData(
        scipy.sparse.csr_matrix(values) if pca else values, obsm={"X_pca": values[:, :1]} if pca else {}
    )
    data.write_h5ad(folder / "a.h5ad")
    data.write_zarr(folder / "a.zarr")
    for name in ("a.h5ad", "a.zarr"):
        source = open_source(DataOptions(str(folder / name)))
        np.testing.assert_array_equal(source.array[EVERYTHING], values[:, :1] if pca else values)
