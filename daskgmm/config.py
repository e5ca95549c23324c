"""The configuration file: composes the option classes that the layers own, and reads YAML with overrides."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import dask
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema

from .chunked.memory import ComputeOptions
from .clusters.kinds import ClusterOptions, Threads
from .core.mixture.low_rank import LABELS_AND_LOW_RANK
from .core.mixture.noise import VOLUME_AND_MISSING
from .core.options.fit import FitOptions, ModelOptions, check_inference
from .core.options.reduce import REDUCE_AND_MISSING
from .core.options.select import SelectOptions
from .core.options.update import UpdateOptions
from .core.selection.sweep import Candidate
from .errors import ConfigurationError
from .filesystem.location import PUBLIC_OPTIONS, guard_read, is_url, public, resolve_location
from .options import field_texts
from .sources import DataOptions
from .storage.run.directory import OutputOptions
from .text import is_text
from .yaml_text import format_yaml, parse_yaml


class Config(BaseModel):
    """A job: what is read, fitted and written, and where it computes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    update: UpdateOptions = UpdateOptions()
    """How `daskgmm update` continues with new rows; a fit keeps these values for updates of its run."""

    def of(self, candidate: Candidate) -> Config:
        """Return the configuration with the model of a candidate."""
        return self.model_copy(update={"model": self.select.model(candidate, self.model)})

    @model_validator(mode="after")
    def _check_frozen(self) -> Config:
        if self.model.frozen and self.fit.start is None:
            raise ConfigurationError(
                f"model.frozen {list(self.model.frozen)} keeps components as they are at the start: "
                "name the model that has them in fit.start"
            )
        return self

    @model_validator(mode="after")
    def _take_noise_of_model(self) -> Config:
        if self.select.noise is None and self.model.noise is not False:
            object.__setattr__(self, "select", replace(self.select, noise=(self.model.noise,)))
        return self

    @model_validator(mode="after")
    def _check_noise(self) -> Config:
        has_volume = any(not isinstance(one, bool) for one in (self.model.noise, *self.select.noises))
        if self.data.missing == "marginal" and has_volume:
            raise ConfigurationError(f"data.missing is marginal: {VOLUME_AND_MISSING}")
        return self

    @model_validator(mode="after")
    def _check_reduce(self) -> Config:
        if self.model.reduce is not None and self.data.missing == "marginal":
            raise ConfigurationError(f"data.missing is marginal: {REDUCE_AND_MISSING}")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Config:
        if self.data.labels is not None and self.model.n_factors is not None:
            raise ConfigurationError(f"data.labels {self.data.labels!r}: {LABELS_AND_LOW_RANK}")
        return self

    @model_validator(mode="after")
    def _check_performance_report(self) -> Config:
        if self.output.performance_report and isinstance(self.cluster, Threads):
            raise ConfigurationError(
                "output.performance_report is true, but cluster.kind is threads, of which dask makes no such report: "
                "set cluster.kind to local or another one, or performance_report to false"
            )
        return self

    @model_validator(mode="after")
    def _check_inference(self) -> Config:
        check_inference(self.fit.inference, self.model)
        return self

    def to_yaml(self) -> str:
        """Return the resolved configuration, defaults included; secrets of storage_options stay out."""
        sections = self.model_dump(mode="json")
        for section in sections.values():
            if "storage_options" in section:
                section["storage_options"] = _without_secrets(section["storage_options"])
        return format_yaml(_public_texts(sections))


def _without_secrets(options: dict[str, Any]) -> dict[str, Any]:
    """Return the storage options that are known to hold no secret: readers of the file have their own keys."""
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
    """Return the configuration in a YAML file with overrides.

    Parameters
    ----------
    path : str or Path
        The file, or its URL.
    overrides : sequence of str
        Values that replace those of the file, each as `key.path=value`, for example `model.n_components=8`.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is not YAML, or has an unknown key or a value out of bounds.
    """
    try:
        with guard_read(resolve_location(path)) if is_url(path) else nullcontext():
            text = resolve_location(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration {str(path)!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the configuration {str(path)!r} is not UTF-8 text") from None
    return parse_config(text, overrides, str(path))


CONFIGURATIONS = (".yaml", ".yml")  # endings of configuration files


def data_config(path: str, n_components: str, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a fit to the data at `path`, defaults but for the number of components."""
    given = (f"data.path={json.dumps(path)}", f"model.n_components={n_components}")
    return parse_config("{data: {}}", (*given, *overrides), path)


def parse_config(text: str, overrides: Sequence[str] = (), name: str = "configuration") -> Config:
    """Return the configuration in a YAML text with overrides."""
    document = parse_yaml(text, name)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{name} must be a mapping of sections, not {type(document).__name__}")
    for override in overrides:
        _apply(document, override)
    document = {key: value for key, value in document.items() if value is not None or key not in Config.model_fields}
    _fill_in_defaults(document)
    try:
        return Config.model_validate_json(_as_json(document), strict=True)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(one) for one in error.errors())  # one for each, in order
        raise ConfigurationError(f"{name}: " + "; ".join(lines)) from None


def _fill_in_defaults(document: dict[str, Any]) -> None:
    """Complete the sections of where and how is computed by the defaults in dask's configuration (daskgmm.yaml)."""
    for section in ("cluster", "compute"):
        defaults, given = _site_defaults(section), document.setdefault(section, {})
        if not isinstance(given, dict) or given.get("kind", defaults.get("kind")) != defaults.get("kind"):
            continue  # of another kind of cluster: these are not its keys
        document[section] = {**defaults, **given}


def _site_defaults(section: str) -> dict[str, Any]:
    """Return the defaults of a section in dask's configuration; a cluster without a kind is one of threads."""
    own = {"kind": Threads.kind} if section == "cluster" else {}
    return {**own, **(dask.config.get(f"daskgmm.{section}", None) or {})}


def _as_json(document: dict[str, Any]) -> str:
    """Return a document as JSON, whose arrays pydantic takes for tuples; strictly it converts nothing else.

    A quoted 3 is no number then, and the text on no truth value, just as by the schema.
    """
    return json.dumps(_whole_numbers(document))


def _whole_numbers(value: Any) -> Any:
    """Return nested values with whole numbers such as 1e8 as integers, as JSON Schema has them."""
    if isinstance(value, dict):
        return {key: _whole_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_INTEGER else value


_MAX_INTEGER = 2**63  # larger ones stay as they are written


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration, for editors: what it takes, the program takes, and no more.

    Beyond it the program checks what JSON Schema cannot say, such as memory in which no worker can start.
    """
    schema = Config.model_json_schema(schema_generator=_DescribedSchema)
    _require_kinds(schema)
    sections = schema["properties"]
    for name in set(sections) - set(schema["required"]):
        sections[name] = {"anyOf": [sections[name], {"type": "null"}]}  # an empty section
    return schema


class _DescribedSchema(GenerateJsonSchema):
    """Generates the JSON Schema with the text below each field as its description."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        return _describe_fields(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        return _describe_fields(super().dataclass_schema(schema), schema["cls"])


def _describe_fields(schema: dict[str, Any], options: type) -> dict[str, Any]:
    texts = field_texts(options)
    described = {
        name: one | ({"description": texts[name]} if name in texts else {})
        for name, one in schema.get("properties", {}).items()
    }
    return schema | {"properties": described}


def _require_kinds(schema: dict[str, Any]) -> None:
    """Require the kind of a cluster but for the default one, of which what the site has set may be left out."""
    site = _site_defaults("cluster")
    for kind, reference in schema["properties"]["cluster"]["discriminator"]["mapping"].items():
        definition = schema["$defs"][reference.rsplit("/", 1)[-1]]
        required = {*definition.get("required", ()), "kind"}
        definition["required"] = sorted(required - set(site) if kind == site["kind"] else required)


def _apply(document: dict[str, Any], override: str) -> None:
    keys, equals, value = override.partition("=")
    encoding = sys.getfilesystemencoding()
    if not is_text(override):
        raise ConfigurationError(
            f"override {override!r} has bytes that are no text in {encoding}: "
            f"{'rename the file' if encoding == 'utf-8' else 'set PYTHONUTF8=1 if they are UTF-8, or rename the file'}"
        )
    path = keys.split(".")
    if not equals or not all(path):
        raise ConfigurationError(f"override {override!r} is not of the form key.path=value, as in model.n_components=8")
    for key in path[:-1]:
        inner = document[key] = {} if document.get(key) is None else document[key]
        if not isinstance(inner, dict):
            raise ConfigurationError(f"override {override!r}: {key} is a value, not a section")
        document = inner
    document[path[-1]] = parse_yaml(value, f"override {override!r}")


_UNION_MEMBERS = {"int", "float", "bool", "str"}  # pydantic puts the member of a union that it tried in the path


def _explain(error: Mapping[str, Any]) -> str:
    is_unknown = error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
    *outer, last = [str(part)[:_MAX_VALUE_LENGTH] for part in error["loc"]] or [""]
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
    if isinstance(cause, ValueError):
        return f"{path} {cause}"
    hint = _SWITCH if error["type"] == "bool_type" and error["input"] in _SWITCHES else ""
    return f"{path} {_in_words(error['msg'])}{_got(location, error['input'])}{hint}"


_WORDS = {  # of pydantic's messages
    " after validation": "",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "an object": "a section of keys",
    "Input tag": "has a kind",
}
_SUBJECT = re.compile(r"^(Input|Tuple|List|String|Value|Dictionary) should")
_TAG = re.compile(r"has a kind '(.*)' found using 'kind' does not match any of the expected tags: (.*)")


def _in_words(message: str) -> str:
    """Return a message of pydantic in words of the configuration."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    message = _SUBJECT.sub("should", message)
    tag = _TAG.fullmatch(message)
    return f"has the unknown kind {tag.group(1)!r}: choose among {tag.group(2)}" if tag else message


_SWITCHES = ("on", "off", "yes", "no", "y", "n")
_SWITCH = ": write true or false, since YAML 1.2 has on, off, yes and no as texts"
_MAX_VALUE_LENGTH = 100  # characters of a value in a message


def _got(location: list[str], value: object) -> str:
    """Quote a value for an error message, unless it may hold secrets, as options and sections do."""
    if "storage_options" in location or isinstance(value, dict | list | tuple):
        return ""
    shown = repr(public(value) if isinstance(value, str) else value)
    return f", got {shown if len(shown) <= _MAX_VALUE_LENGTH else shown[:_MAX_VALUE_LENGTH] + '...'}"


def _nearest(location: list[str], error: Mapping[str, Any]) -> str:
    elsewhere = [f"{section}.{location[-1]}" for section, keys in _section_keys().items() if location[-1] in keys]
    if elsewhere:
        return f", did you mean {' or '.join(elsewhere)}?"
    known = _known_keys(location[:-1], error)
    close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def _section_keys() -> dict[str, Sequence[str]]:
    """Return the keys of each section that has the same ones in every configuration."""
    options = {"data": DataOptions, "model": ModelOptions, "fit": FitOptions, "compute": ComputeOptions}
    options |= {"output": OutputOptions}
    return {section: [field.name for field in fields(one)] for section, one in options.items()}


def _known_keys(section: list[str], error: Mapping[str, Any]) -> list[str]:
    schema = Config.model_json_schema()
    keys: dict[str, Any] = schema["properties"]
    for name in section:
        keys = schema["$defs"][_definition(keys[name], error)]["properties"]
    return list(keys)


def _definition(section: dict[str, Any], error: Mapping[str, Any]) -> str:
    """Return the name of a section's definition in the schema: of the kind that the error is in, or beside null."""
    if "discriminator" in section:
        reference = section["discriminator"]["mapping"][error["loc"][1]]
    else:
        reference = next(one["$ref"] for one in [section, *section.get("anyOf", [])] if "$ref" in one)
    return str(reference.rsplit("/", 1)[-1])
