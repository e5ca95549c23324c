"""The configurations of commands that begin with a finished run: its own, and what they may change of it."""

from __future__ import annotations

import json

from ..config import Config, load_config
from ..errors import ConfigurationError
from ..filesystem.location import resolve_location
from ..storage.run.directory import CONFIG

_UPDATE_OPTIONS = ("data.", "cluster.", "compute.", "output.", "update.", "fit.tol=", "fit.max_iter=")  # of overrides


def prediction_config(run_dir: str, overrides: tuple[str, ...], folder: str) -> Config:
    """Return the configuration of a prediction with the run's model, by default into a folder of the run.

    Raises ConfigurationError for overrides that cannot act in a prediction.
    """
    for override in overrides:
        if override.split(".")[0] not in {"data", "cluster", "compute", "output"}:
            raise ConfigurationError(
                f"override {override!r}: a prediction takes data, cluster, compute and output only"
            )
        key, _, value = override.partition("=")
        if key.strip() in ("data.labels", "data.weights") and value.strip() != "null":
            raise ConfigurationError(
                f"override {override!r}: a prediction takes no labels and no weights: leave it out (data.columns "
                "chooses the features of a table)"
            )
    default = f"output.directory={json.dumps(str(resolve_location(run_dir) / folder))}"
    return load_config(str(resolve_location(run_dir) / CONFIG), (default, *overrides))


def update_config(run_dir: str, overrides: tuple[str, ...]) -> Config:
    """Return the configuration of an update of the run, by default into RUN_DIR-updated.

    Raises ConfigurationError for overrides that cannot act in an update.
    """
    for override in overrides:
        if not override.startswith(_UPDATE_OPTIONS):
            raise ConfigurationError(
                f"override {override!r}: an update takes data, cluster, compute, output, update, fit.tol and "
                "fit.max_iter only; the model is that of the run"
            )
    path = resolve_location(run_dir)
    default = f"output.directory={json.dumps(str(path.with_name(path.name + '-updated')))}"
    return load_config(str(path / CONFIG), (default, *overrides))
