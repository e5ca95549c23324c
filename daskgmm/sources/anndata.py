"""The layout of AnnData, in HDF5 (.h5ad) and zarr: which array holds the rows, and what its axes are."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from ..errors import DataError

ENCODING = "encoding-type"  # the attribute that says what a group or dataset is


def default_of_anndata(names: Container[str]) -> dict[str, Any]:
    """Return the option that names the rows: the principal components of the cells, or else X."""
    return {"array": "obsm/X_pca" if "obsm/X_pca" in names else "X"}


def axes_of_anndata(name: str) -> tuple[str, str] | None:
    """Return the names of the axes of an array: cells and genes, or cells and what the array is of them."""
    folder, _, last = name.rpartition("/")
    if name == "X" or folder == "layers":
        return ("obs", "var")
    return ("obs", last) if folder == "obsm" else None


def check_dense(encoding: Any, name: str) -> None:
    """Raise DataError for a group that is a sparse matrix or a table."""
    encoding = encoding.decode() if isinstance(encoding, bytes) else encoding
    if str(encoding) in {"csr_matrix", "csc_matrix", "dataframe", "categorical"}:
        raise DataError(
            f"{name} is a {encoding}, and a mixture needs a dense array of few columns: take principal components "
            "(scanpy.pp.pca leaves them in obsm/X_pca), or name a dense array in data.array"
        )
