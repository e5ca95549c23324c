"""The configuration file: composes the option classes that the layers own, and reads YAML with overrides."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import dask
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from .chunked.memory import ComputeOptions
from .clusters.kinds import ClusterOptions, Threads
from .core.options.fit import FitOptions, ModelOptions
from .core.options.select import SelectOptions
from .core.selection.sweep import Candidate
from .errors import ConfigurationError
from .filesystem.location import PUBLIC_OPTIONS, place, public
from .sources import DataOptions
from .storage.run.directory import OutputOptions
from .yaml_text import format_yaml, parse_yaml


class Config(BaseModel):
    """A job: what is read, fitted and written, and where it computes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    data: DataOptions
    """Where the rows are."""
    model: ModelOptions = ModelOptions()
    """What is fitted."""
    fit: FitOptions = FitOptions()
    """How it is fitted."""
    cluster: Annotated[ClusterOptions, Field(discriminator="kind")] = Threads()
    """Where it computes."""
    compute: ComputeOptions = ComputeOptions()
    """How rows are cut and kept."""
    output: OutputOptions = OutputOptions()
    """What is written, and where."""
    select: SelectOptions = SelectOptions()
    """Which models `daskgmm select` compares, in place of the n_components and covariance_type of `model`."""

    def of(self, candidate: Candidate) -> Config:
        """Return the configuration with the model of a candidate."""
        return self.model_copy(update={"model": self.select.model(candidate, self.model)})

    @model_validator(mode="after")
    def _check_performance_report(self) -> Config:
        if self.output.performance_report and isinstance(self.cluster, Threads):
            raise ConfigurationError(
                "output.performance_report is true, but cluster.kind is threads, of which dask makes no such report: "
                "set cluster.kind to local or another one, or performance_report to false"
            )
        return self

    def to_yaml(self) -> str:
        """Return the resolved configuration, defaults included; secrets of storage_options stay out."""
        sections = self.model_dump(mode="json")
        for section in sections.values():
            if "storage_options" in section:
                section["storage_options"] = _without_secrets(section["storage_options"])
        return format_yaml(_public_texts(sections))


def _without_secrets(options: dict[str, Any]) -> dict[str, Any]:
    """Return the storage options that are known to hold no secret; whoever reads the file has keys of his own."""
    return {
        name: _without_secrets(value) if isinstance(value, dict) else public(value) if isinstance(value, str) else value
        for name, value in options.items()
        if name in PUBLIC_OPTIONS
    }


def _public_texts(value: Any) -> Any:
    """Return nested values with the URLs among them cut to what is no secret."""
    if isinstance(value, dict):
        return {key: _public_texts(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_public_texts(one) for one in value]
    return public(value) if isinstance(value, str) else value


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration in a YAML file with `key.path=value` overrides; raise ConfigurationError in one line."""
    try:
        text = place(path).read_text()
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration {str(path)!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the configuration {str(path)!r} is not UTF-8 text") from None
    return parse_config(text, overrides, str(path))


def parse_config(text: str, overrides: Sequence[str] = (), name: str = "configuration") -> Config:
    """Return the configuration in a YAML text with overrides."""
    document = parse_yaml(text, name)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{name} must be a mapping of sections, not {type(document).__name__}")
    for override in overrides:
        _apply(document, override)
    _fill_in_defaults(document)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(one) for one in error.errors())  # one for each, in order
        raise ConfigurationError(f"{name}: " + "; ".join(lines)) from None


def _fill_in_defaults(document: dict[str, Any]) -> None:
    """Complete the sections of where and how is computed by the defaults in dask's configuration (daskgmm.yaml)."""
    for section in ("cluster", "compute"):
        defaults, given = dask.config.get(f"daskgmm.{section}", None) or {}, document.get(section)
        if given is None:
            given = document[section] = {}
        if not isinstance(given, dict):
            continue
        if section == "cluster":
            defaults = {"kind": Threads.kind, **defaults}
            if given.get("kind", defaults["kind"]) != defaults["kind"]:
                continue  # of another kind of cluster: these are not its keys
        document[section] = {**defaults, **given}


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration, for editors."""
    return Config.model_json_schema()


def _apply(document: dict[str, Any], override: str) -> None:
    keys, equals, value = override.partition("=")
    path = keys.split(".")
    if not equals or not all(path):
        raise ConfigurationError(f"override {override!r} is not of the form key.path=value, as in model.n_components=8")
    for key in path[:-1]:
        inner = document.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"override {override!r}: {key} is a value, not a section")
        document = inner
    document[path[-1]] = parse_yaml(value, f"override {override!r}")


_UNION_MEMBERS = {"int", "float", "bool", "str"}  # pydantic puts the member of a union that it tried in the path


def _explain(error: ErrorDetails) -> str:
    is_unknown = error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
    *outer, last = [str(part)[:_LONGEST_SHOWN] for part in error["loc"]] or [""]
    location = [part for part in outer if part.isidentifier() and part not in _UNION_MEMBERS]
    if is_unknown or (last.isidentifier() and last not in _UNION_MEMBERS):
        location.append(last)
    section = location[0] if location else ""
    if section == "cluster" and len(location) > 1:
        location.pop(1)  # the kind, which pydantic puts in the path
    path = ".".join(location)
    if is_unknown:
        return f"unknown key {path}{_nearest(location, error)}"
    if error["type"] == "missing":
        return f"{path} is missing"
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return str(cause)
    return f"{path}: {error['msg'][0].lower()}{error['msg'][1:]}{_got(location, error['input'])}"


_LONGEST_SHOWN = 100  # characters of a value in a message


def _got(location: list[str], value: object) -> str:
    """Return how a message tells of a value: not at all where it may hold secrets, as options and sections do."""
    if "storage_options" in location or isinstance(value, dict | list | tuple):
        return ""
    shown = repr(public(value) if isinstance(value, str) else value)
    return f", got {shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + '...'}"


def _nearest(location: list[str], error: ErrorDetails) -> str:
    known = _known_keys(location[:-1], error)
    close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def _known_keys(section: list[str], error: ErrorDetails) -> list[str]:
    schema = config_schema()
    keys: dict[str, Any] = schema["properties"]
    for name in section:
        keys = schema["$defs"][_definition(keys[name], error)]["properties"]
    return list(keys)


def _definition(section: dict[str, Any], error: ErrorDetails) -> str:
    """Return the name of a section's definition in the schema: of the kind that the error is in, or beside null."""
    if "discriminator" in section:
        reference = section["discriminator"]["mapping"][error["loc"][1]]
    else:
        reference = next(one["$ref"] for one in [section, *section.get("anyOf", [])] if "$ref" in one)
    return str(reference.rsplit("/", 1)[-1])
