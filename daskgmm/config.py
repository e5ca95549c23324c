"""The configuration file: composes the option classes that the layers own, and reads YAML with overrides."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import dask
import yaml
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
        text: str = yaml.safe_dump(_public_texts(sections), sort_keys=False)
        return text


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


_MOST_NODES = 100_000  # of a configuration, all that aliases stand for counted


class _Loader(yaml.SafeLoader):
    """YAML 1.1, with 1e-4 read as a number (1.1 asks for 1.0e-4); a key given twice is refused."""

    def get_single_node(self) -> yaml.Node | None:
        """Return the document; aliases that hold themselves, or stand for gigabytes in a few lines, are refused."""
        node = super().get_single_node()
        if node is not None and _expanded_size(node, {}) > _MOST_NODES:
            problem = f"aliases (*name) make more than {_MOST_NODES:,} values of it: write them out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; a key that stands there twice is a mistake, not the last of its values."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} stands there twice: remove one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _expanded_size(node: yaml.Node, sizes: dict[yaml.Node, float]) -> float:
    """Return how many values a node stands for, infinite where it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in sizes:
        sizes[node] = math.inf  # until it is known: only a node within itself meets that
        inner = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        sizes[node] = 1 + sum(_expanded_size(one, sizes) for one in inner)
    return sizes[node]


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


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
    document = _parse_yaml(text, name)
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


def _parse_yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-99-99 is a ValueError
        raise ConfigurationError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deeply: sections hold values, lists and mappings") from None


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
    document[path[-1]] = _parse_yaml(value, f"override {override!r}")


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
