"""YAML 1.2 by its core schema: 10:00:00, on and 2026-01-01 are texts, and 1e-4 is a number."""

from __future__ import annotations

import math
import re
from io import StringIO
from itertools import chain
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver

from .errors import ConfigurationError

_MAX_VALUES = 10_000  # of a document, keys and all that aliases stand for counted: half a second of parsing
_MAX_DEPTH = 50
_MAX_CHARACTERS = 2**19
_CORE_SCHEMA = [  # tag, plain scalars, their first characters; section 10.3.2 of YAML 1.2.2, and merge keys
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
]
_KEY_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}
_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in ("null", "bool", "int", "float", "merge", "str", "seq", "map")}
# Of a pair of surrogates one without the other.
_HALF_CHARACTER = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_OTHER_VERSION = re.compile(r"^%YAML(?![ \t]+1\.2\s)", re.MULTILINE)
_AMBIGUOUS = re.compile(r"[-+.]?[0-9].*|[-+]?\..*|=|(?i:y|n|yes|no|on|off)")  # readers of YAML 1.1 take some for others


def parse_yaml(text: str, name: str) -> Any:
    """Return the values of a YAML text; raise ConfigurationError, in one line that begins with the name."""
    if len(text) > _MAX_CHARACTERS:
        raise ConfigurationError(f"{name} has {len(text):,} characters, more than {_MAX_CHARACTERS:,}: shorten it")
    if _OTHER_VERSION.search(text):
        raise ConfigurationError(f"{name} asks for another version of YAML than 1.2: remove the line %YAML")
    try:
        return _reader().load(text)
    except MarkedYAMLError as error:
        raise ConfigurationError(f"{name} is not YAML: {_explain(error)}") from None
    except YAMLError as error:
        raise ConfigurationError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, KeyError) as error:  # of tags that are written out, such as !!int x and !!bool maybe
        raise ConfigurationError(f"{name} is not YAML: {error}") from None


def format_yaml(values: Any) -> str:
    """Return plain values as YAML text, keys in their order, which readers of YAML 1.1 read alike."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # declared as None
    stream = StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def _reader() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Composer = _Resolver, _Composer
    return yaml


def _explain(error: MarkedYAMLError) -> str:
    """Return the problem and its place, without the line itself, which may hold secrets."""
    problem = " ".join(str(error.problem or error.context).split())
    mark = error.problem_mark or error.context_mark
    return problem if mark is None else f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


class _Resolver(VersionedResolver):
    """The core schema alone: no dates, no underscores in numbers."""

    @property
    def versioned_resolver(self) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
        """Return the tags and patterns of plain scalars by their first character."""
        return _BY_FIRST_CHARACTER


_BY_FIRST_CHARACTER: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _tag, _pattern, _characters in _CORE_SCHEMA:
    for _character in _characters:
        _entry = (f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"))
        _BY_FIRST_CHARACTER.setdefault(_character, []).append(_entry)


class _Composer(Composer):
    """Refuses what is too large or too deep before all of it is read, and keys that are given twice."""

    def __init__(self, loader: Any = None) -> None:
        """Begin with nothing counted; an anchor that is named again stands for its last value, as YAML has it."""
        super().__init__(loader)
        self.warn_double_anchors = False
        self.n_values = 0
        self.level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next value; raise MarkedYAMLError for one too many."""
        self.n_values += 1
        self.level += 1
        if self.n_values > _MAX_VALUES:
            self._refuse(f"it has more than {_MAX_VALUES:,} keys and values: shorten it")
        if self.level > _MAX_DEPTH:
            self._refuse(f"it is nested too deeply, more than {_MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.level -= 1
        if str(node.tag) not in _TAGS:
            problem = f"the tag {str(node.tag)[:100]!r} is not known: leave it out, and quote what is a text"
            raise MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if isinstance(node, ScalarNode) and (half := _HALF_CHARACTER.search(node.value)):
            problem = (
                f"a text holds {half.group()!a}, half a character, as names that are not UTF-8 do: rename the "
                "file, or write another character"
            )
            raise MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return the next mapping; raise MarkedYAMLError for a key that is no text, or is given twice."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.tag) not in _KEY_TAGS:
                raise MarkedYAMLError(problem="a key is not a text: put it in quotes", problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value[:100]!r} stands there twice: remove one"
                raise MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def compose_document(self) -> Any:
        """Return the document; aliases that hold themselves, or stand for gigabytes in a few lines, are refused."""
        node = super().compose_document()
        if _count_expanded(node, {}) > _MAX_VALUES:
            problem = f"aliases (*name) make more than {_MAX_VALUES:,} values of it: write them out"
            raise MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def _refuse(self, problem: str) -> None:
        raise MarkedYAMLError(problem=problem, problem_mark=self.parser.peek_event().start_mark)


class _Representer(SafeRepresenter):
    """Quotes texts that YAML 1.1 takes for something else, and writes numbers that it takes for such."""

    def represent_str(self, data: str) -> Any:
        """Return the node of a text."""
        style = "'" if _AMBIGUOUS.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_float(self, data: float) -> Any:
        """Return the node of a number: 1e-06 is a text in YAML 1.1, and 1.0e-06 a number in both."""
        node = super().represent_float(data)
        if "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node


_Representer.add_representer(str, _Representer.represent_str)
_Representer.add_representer(float, _Representer.represent_float)


def _count_expanded(node: Node, sizes: dict[Node, float]) -> float:
    """Count the values of a node after its aliases are expanded; infinite for a recursive alias."""
    if isinstance(node, ScalarNode):
        return 1
    if node not in sizes:
        sizes[node] = math.inf  # until it is known: only a node within itself meets that
        inner = chain.from_iterable(node.value) if isinstance(node, MappingNode) else node.value
        sizes[node] = 1 + sum(_count_expanded(one, sizes) for one in inner)
    return sizes[node]
