"""Two runs as one model, without reading a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..fitting.merge import merge_models
from ..storage.formats.history import check_apart
from ..storage.formats.model import load_model
from .saved_model import SavedModel


def merge_runs(
    run_a: str | Path, run_b: str | Path, storage_options: Mapping[str, Any] | None = None, *, repeat: bool = False
) -> SavedModel:
    """Return the model of the rows of two runs, from the statistics that they keep; no row is read.

    Components are matched one to one by their Bhattacharyya distances, their counts, means and covariances are added,
    and an M-step makes them a model, in the order of run_a's components. Its log-likelihood is a lower bound. Noise has
    the box of the rows of both, or the hypervolume that both were given; frozen components stay.

    Parameters
    ----------
    run_a, run_b : str or Path
        Run directories, or model.zarr, of one number of components, family and features; paths, or URLs of fsspec.
    storage_options : mapping, optional
        Options of the file system of URLs, such as credentials.
    repeat : bool
        Count rows that both runs have seen twice.

    Raises
    ------
    ConfigurationError
        If the models are of different kinds, or have different frozen components.
    DataError
        If a run has no model or has kept no statistics, or if both have seen the same rows.
    """
    if not repeat:
        check_apart(run_a, run_b, storage_options, "repeat=True")
    model = merge_models(load_model(run_a, storage_options), load_model(run_b, storage_options))
    return SavedModel.from_model(model)
