"""output.mlflow: a job kept in MLflow as well, by listening to its events."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import ConfigurationError, without_credentials
from ..events import Connected, Event, Finished, Iteration, Listener, Notice
from ..filesystem.location import public, resolve_location
from ..provenance import DataInfo
from ..storage.formats.export import as_json
from ..storage.formats.model import load_model
from ..storage.formats.provenance import load_record
from ..storage.run.directory import CONFIG, RECORD, REPORT, RunDirectory
from ..yaml_text import parse_yaml

_LOGGER = logging.getLogger(__name__)

EXPERIMENT = "daskgmm"
_MAX_PARAMETER_LENGTH = 500  # characters; what every MLflow takes
_OF_FOLDER = (
    "MLflow keeps this job in ./mlruns, which MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri ./mlruns shows"
)
_TIMEOUTS = {  # unless the environment says else: a fit waits seconds, not minutes, for a server that is gone
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


@contextmanager
def track(config: Config, job: str, listen: Listener) -> Iterator[Listener]:
    """Give the listener itself, or with output.mlflow one that keeps the job in MLflow beside it.

    Raises ConfigurationError where MLflow is not installed. A store that fails ends the tracking with a notice, never
    the job.
    """
    if not config.output.mlflow:
        yield listen
        return
    with _patience(), _record(_Store(_client(), listen), config, job) as listener:
        yield listener


@contextmanager
def _record(store: _Store, config: Config, job: str) -> Iterator[Listener]:
    """Give a listener that hands events on, and records them until the job ends, with how it ended."""

    def both(event: Event) -> None:
        store.listen(event)
        if isinstance(event, Connected):  # from here on it is a job, and none that was refused
            store.begin(config, job)
        store.keep(event, config)

    try:
        yield both
    except BaseException as error:
        store.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    store.end("FINISHED")


@contextmanager
def _patience() -> Iterator[None]:
    """Set for the block the environment by which MLflow gives up soon, unless the environment says else."""
    mine = {name: value for name, value in _TIMEOUTS.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


def _client() -> Callable[[], Any]:
    """Return the factory of the tracking store's client."""
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ConfigurationError("output.mlflow needs mlflow-skinny: pip install 'daskgmm[mlflow]'") from None
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _store_here()
    return lambda: MlflowClient(tracking_uri=uri)


def _store_here() -> str:
    """Return the store in the working directory: ./mlflow.db, as `mlflow ui` looks for, or the folder ./mlruns.

    The folder is taken if it holds experiments, as MLflow does, or if MLflow's skinny package has no data base.
    """
    has_database = all(find_spec(name) is not None for name in ("sqlalchemy", "alembic"))
    if has_database and not any(Path("mlruns").glob("*/meta.yaml")):
        return "sqlite:///mlflow.db"
    return Path("mlruns").absolute().as_uri()


@dataclass
class _Store:
    """A run in MLflow, as long as MLflow answers."""

    connect: Callable[[], Any]
    listen: Listener  # hears of a failure
    client: Any = None
    run: str = ""

    def begin(self, config: Config, job: str) -> None:
        self._attempt(lambda: self._begin(config, job))

    def keep(self, event: Event, config: Config) -> None:
        if self.client is None:
            return
        match event:
            case Iteration():
                self._attempt(lambda: self._log_iteration(event))
            case Finished():
                self._attempt(lambda: self._log_results(event, config))

    def end(self, status: str) -> None:
        if self.client is not None:
            self._attempt(lambda: self.client.set_terminated(self.run, status))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # stores raise errors of many classes
            _LOGGER.debug("MLflow failed", exc_info=True)
            self.client = None
            told = " ".join(without_credentials(str(error)).split())[:200]
            self.listen(Notice(f"MLflow records nothing more of this job: {type(error).__name__}: {told}"))

    def _begin(self, config: Config, job: str) -> None:
        client = self.connect()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = client.get_experiment_by_name(name)
        experiment_id = client.create_experiment(name) if experiment is None else experiment.experiment_id
        self.run = client.create_run(
            experiment_id, tags={"daskgmm.job": job}, run_name=f"{job} {_stem(config)}"
        ).info.run_id
        self.client = client
        if not os.environ.get("MLFLOW_TRACKING_URI") and _store_here().startswith("file:"):
            self.listen(Notice(_OF_FOLDER))
        client.set_tag(self.run, "daskgmm.data", public(config.data.path))
        for key, value in _flat(parse_yaml(config.to_yaml(), CONFIG)).items():
            client.log_param(self.run, key, str(value)[:_MAX_PARAMETER_LENGTH])

    def _log_iteration(self, event: Iteration) -> None:
        values = {
            "mean_log_likelihood": event.log_likelihood,
            "objective": event.objective,
            "gain": event.gain,
            "remaining_gain": event.remaining_gain,
            "seconds": event.seconds,
            "rows_per_second": event.rows_per_second,
        }
        for name, value in values.items():
            if value is not None:
                self.client.log_metric(self.run, name, value, step=event.iteration)

    def _log_results(self, event: Finished, config: Config) -> None:
        for name, value in event.figures.items():
            self.client.log_metric(self.run, name, value)
        self.client.log_text(self.run, config.to_yaml(), CONFIG)
        directory = resolve_location(event.directory, config.output.storage_options)
        run = RunDirectory(directory)
        if run.holds_model:
            model = load_model(directory)
            self.client.log_metric(self.run, "n_iter", model.summary.n_iter)
            self.client.log_metric(self.run, "converged", float(model.summary.converged))
            self.client.set_tag(self.run, "daskgmm.stop_reason", model.summary.stop_reason)
            self.client.log_text(self.run, as_json(model).decode(), "model.json")
            self._log_data(load_record(directory / RECORD).beginning, config)
        if run.holds_report:
            self.client.log_text(self.run, (directory / REPORT).read_text(encoding="utf-8"), REPORT)

    def _log_data(self, fitted: DataInfo, config: Config) -> None:
        """Log the rows as the data set that was trained on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path = public(config.data.path)
        known = {"description": fitted.description, "num_rows": fitted.n_rows, "num_features": len(fitted.minimum)}
        data = Dataset(path[-_MAX_PARAMETER_LENGTH:], fitted.fingerprint, "daskgmm", path, profile=json.dumps(known))
        self.client.log_inputs(self.run, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _stem(config: Config) -> str:
    return config.output.directory.rstrip("/").rpartition("/")[2]


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration by their dotted keys."""
    flat = {}
    for key, value in sections.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": inner for name, inner in _flat(value).items()})
        else:
            flat[key] = value
    return flat
