"""Going on with an interrupted fit or sweep: what must be the same for it, and what is there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from hashlib import sha256
from typing import Any

from ..chunked.fingerprint import digest
from ..chunked.labelled_rows import lazy_labels
from ..chunked.rows import Rows
from ..config import Config
from ..core.em.fitted_model import Model
from ..core.em.loop import StopReason
from ..core.mixture.projection import Projection
from ..core.selection.table import Selection
from ..errors import DataError, without_credentials
from ..events import Listener, Notice
from ..filesystem.location import public, read_file
from ..provenance import installed_version
from ..sources import DataOptions
from ..storage.formats.history import read_history
from ..storage.formats.model import fingerprint, load_model
from ..storage.formats.selection import read_selection
from ..storage.run.checkpoint import CHECKPOINTS, load_checkpoint
from ..storage.run.directory import CONFIG, CONTENT, HISTORY, MODEL, SELECTION, RunDirectory
from ..storage.run.finished_parts import is_fitted
from ..storage.run.manifest import Plan
from ..storage.run.staging import Unfinished, is_unfinished, settle
from ..yaml_text import parse_yaml

_SIDE_OUTPUTS = {"report", "report_rows", "mlflow", "performance_report"}  # of output: what tells of a job
_FREE_OPTIONS = {"directory", "checkpoint_every", "storage_options", *_SIDE_OUTPUTS}  # they change no result
_SWEPT_OPTIONS = {
    "n_components",
    "covariance_type",
    "n_factors",
    "factor_noise",
    "noise",
}  # of model: what a sweep chooses


def fit_plan(rows: Rows, config: Config, labels: Any | None = None) -> Plan:
    """Describe everything that a fit depends on; some chunks of the rows, and of their labels, are read for it."""
    options = {**_texts("model", vars(config.model)), **_texts("fit", vars(config.fit))}
    content = {"content": digest(rows)}
    if labels is not None:
        content["labels"] = digest(Rows(lazy_labels(labels, rows)[..., None]))
    return {"job": "fit", **plan_of_rows(rows, config.data, None, set()), **options, **content}


def select_plan(rows: Rows, config: Config) -> Plan:
    """Describe everything that a sweep depends on, with `select` for the number of components and the structure."""
    model = {key: value for key, value in vars(config.model).items() if key not in _SWEPT_OPTIONS}
    select = {**vars(config.select), "n_components": config.select.sizes, "covariance_type": config.select.types}
    select["noise"] = config.select.noises
    options = {**_texts("model", model), **_texts("fit", vars(config.fit)), **_texts("select", select)}
    return {"job": "select", **plan_of_rows(rows, config.data, None, set()), **options, "content": digest(rows)}


def update_plan(rows: Rows, config: Config, model: Model, first: int) -> Plan:
    """Return the inputs that an update depends on, with rows from step `first` of their store on."""
    options = {**_texts("model", vars(config.model)), **_texts("fit", vars(config.fit))}
    rows_plan = plan_of_rows(rows, config.data, None, set())
    own = {"model": fingerprint(model), "first": str(first), "content": digest(rows)}
    return {"job": "update", **rows_plan, **options, **_texts("update", vars(config.update)), **own}


def _texts(section: str, options: Mapping[str, Any]) -> dict[str, str]:
    return {f"{section}.{key}": str(value) for key, value in options.items()}


def plan_of_rows(rows: Rows, data: DataOptions, strip: int | None, left_out: Set[str]) -> Plan:
    """Return which rows they are and how they are cut, in words; `left_out` names options that are of no importance."""
    options = {key: value for key, value in vars(data).items() if key not in {"storage_options", *left_out}}
    cuts = sha256(repr((rows.array.chunks, strip)).encode()).hexdigest()[:16]
    return {
        **{f"data.{key}": without_credentials(str(value)) for key, value in options.items()},
        "data.path": public(data.path),
        "shape": " x ".join(map(str, rows.array.shape)),
        "dtype": str(rows.array.dtype),
        "chunks": f"{len(rows.block_sizes)} of at most {max(rows.block_sizes)} rows ({cuts})",
        "daskgmm_version": installed_version("daskgmm"),
    }


def find_finished_fit(directory: RunDirectory, config: Config) -> Model | None:
    """Return the model of a fit that has all that the configuration asks for; None where there is none such."""
    settle(directory.path, CONTENT)
    return None if (directory.path / SELECTION).exists() else _same(directory, config, _of_fit)


def find_finished_update(directory: RunDirectory, config: Config, model: Model) -> Model | None:
    """Return the model of a finished update of `model` that has all that the configuration asks for, if it is there."""
    settle(directory.path, CONTENT)
    updated = _same(directory, config, _of_update)
    history = None if updated is None else read_history(directory.path / HISTORY)
    return updated if history is not None and history.last.model == fingerprint(model) else None


def find_stopped_fit(directory: RunDirectory, config: Config) -> Model | None:
    """Return the model of a fit that stopped at a smaller `fit.max_iter`, where the configuration is else the same."""
    settle(directory.path, CONTENT)
    if (directory.path / SELECTION).exists():
        return None
    model = _same(directory, config, _without_max_iter)
    stopped = model is not None and model.summary.stop_reason == StopReason.MAX_ITER.value
    return model if stopped and model is not None and model.summary.n_iter < config.fit.max_iter else None


def _without_max_iter(sections: Sections) -> Sections:
    decisive = _of_fit(sections)
    return {**decisive, "fit": {key: value for key, value in decisive["fit"].items() if key != "max_iter"}}


def find_finished_sweep(directory: RunDirectory, config: Config) -> tuple[Model, Selection] | None:
    """Return the results of a complete sweep with all that the configuration asks for; None if there is none."""
    settle(directory.path, CONTENT)
    model = _same(directory, config, _of_sweep)
    try:
        return None if model is None else (model, read_selection(directory.path / SELECTION))
    except DataError:
        return None


Sections = Mapping[str, Mapping[str, Any]]  # of a resolved configuration


def _same(directory: RunDirectory, config: Config, decisive: Callable[[Sections], Sections]) -> Model | None:
    """Return the model in the directory if it is whole, and its configuration equal in all that is decisive."""
    if is_unfinished(directory.path) or not directory.holds_model:
        return None
    try:
        before = parse_yaml(read_file(directory.path / CONFIG).decode(), CONFIG)
        same = decisive(before) == decisive(parse_yaml(config.to_yaml(), CONFIG))
        return load_model(directory.path) if same else None
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return None


def _of_fit(sections: Sections) -> Sections:
    """Return the options of a configuration that determine the results of a fit."""
    data = {key: value for key, value in sections["data"].items() if key != "storage_options"}
    output = {key: value for key, value in sections["output"].items() if key not in _FREE_OPTIONS}
    cut = {"chunk_bytes": sections["compute"]["chunk_bytes"]}
    return {"data": data, "model": sections["model"], "fit": sections["fit"], "compute": cut, "output": output}


def _of_update(sections: Sections) -> Sections:
    return {**_of_fit(sections), "update": sections["update"]}


def _of_sweep(sections: Sections) -> Sections:
    model = {key: value for key, value in sections["model"].items() if key not in _SWEPT_OPTIONS}
    return {**_of_fit(sections), "model": model, "select": sections["select"]}


def projection_before(work: Unfinished) -> Projection | None:
    """Return the projection that an interrupted job had found, by its checkpoint; None if there is none."""
    if not work.going_on:
        return None
    checkpoint = load_checkpoint(work.path / CHECKPOINTS)
    return None if checkpoint is None else checkpoint.projection


def read_fitted(work: Unfinished, listen: Listener) -> Model | None:
    """Return the model that an interrupted job left there, None where it had none yet or what it left is damaged."""
    if not work.going_on or not (work.path / MODEL).exists():
        return None
    try:
        model = load_model(work.path / MODEL)
        if not is_fitted(work.path):
            raise DataError(f"what the fit left in {work.path} is not whole")
    except DataError as error:
        listen(Notice(f"{error}: the fit continues from a checkpoint"))
        return None
    listen(Notice("going on after the fit: its model is there"))
    return model
