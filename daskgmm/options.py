"""What makes a frozen dataclass a section of the configuration file, and its sizes in bytes, for all layers."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from itertools import pairwise
from textwrap import dedent
from typing import Any

STRICT: dict[str, object] = {
    "extra": "forbid",  # an unknown key is an error
    "allow_inf_nan": False,
}

_PREFIXES = "kmgtp"
_UNITS: dict[str, int] = {  # as Dask and Kubernetes have them: G and GB are 10^9, Gi and GiB are 2^30
    "": 1,
    "b": 1,
    **{prefix + end: int(1000**power) for power, prefix in enumerate(_PREFIXES, 1) for end in ("", "b")},
    **{prefix + end: int(1024**power) for power, prefix in enumerate(_PREFIXES, 1) for end in ("i", "ib")},
}
_PATTERN = r"^\s*([0-9]{1,19}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})\s*((?:[kKmMgGtTpP][iI]?)?[bB]?)\s*$"
_EXAMPLE = "write it as in 67108864, 64MB or 1 GiB"


def parse_size(size: object) -> int:
    """Return the bytes of a size; raise ValueError, which shows it and an example, for one that is not understood.

    >>> parse_size("64MB"), parse_size("1.5 GiB"), parse_size(4096)
    (64000000, 1610612736, 4096)
    """
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = re.match(_PATTERN, size) if isinstance(size, str) else None
    if match is None:
        raise ValueError(f"{repr(size)[:100]} is not a size in bytes: {_EXAMPLE}")
    number, unit = match[1], _UNITS[match[2].lower()]
    return int(number) * unit if number.isdecimal() else round(float(number) * unit)


@dataclass(frozen=True)
class TextPattern:
    """Annotation of a text whose form its class checks with a message of its own: the schema shows it to editors."""

    pattern: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON Schema of the text with its pattern."""
        return {**handler(schema), "pattern": self.pattern}


@dataclass(frozen=True)
class SizeInBytes:
    """Annotation of an option that takes sizes; the option holds bytes, or the text as it is written."""

    minimum: int = 0  # bytes
    auto: bool = False  # whether the text auto is taken too
    as_written: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Return the schema that reads a value of the configuration."""
        return {"type": "function-plain", "function": {"type": "no-info", "function": self.read}}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON Schema of what is read, but for texts below the minimum."""
        auto = [{"const": "auto", "type": "string"}] if self.auto else []
        number = {"type": "integer", "minimum": self.minimum}
        return {"anyOf": [number, {"type": "string", "pattern": _PATTERN}, *auto]}

    def read(self, value: object) -> int | str:
        """Return the value of the option; raise ValueError for one that is no size, or too small."""
        if self.auto and value == "auto":
            return "auto"
        n_bytes = parse_size(value)
        if n_bytes < self.minimum:
            raise ValueError(f"{value!r} is less than {self.minimum} bytes: raise it")
        return value if self.as_written and isinstance(value, str) else n_bytes


def field_texts(options: type) -> dict[str, str]:
    """Return the text below each field of a section's class and of its bases: its description in the schema.

    They are read from the source, which takes longer than all else that starts a job: only the schema asks for them.
    """
    classes = [one for one in reversed(options.__mro__) if one.__module__.startswith(f"{__package__}.")]
    return {name: text for one in classes for name, text in _texts_in(dedent(inspect.getsource(one)))}


def _texts_in(source: str) -> list[tuple[str, str]]:
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    ]
