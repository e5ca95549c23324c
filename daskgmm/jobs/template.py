"""A commented configuration for data, to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from ..config import config_schema, data_config
from ..errors import ConfigurationError
from ..filesystem.location import public
from ..sources import Source, open_source
from ..text import pluralize, printable

_SECTIONS = {"data": "DataOptions", "model": "ModelOptions", "fit": "FitOptions", "output": "OutputOptions"}
_COMMENT_WIDTH = 100  # characters of a comment
_MAX_NAMES = 50  # of features, that are listed
_N_COMPONENTS = 8


def write_template(data: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a configuration for the data to `path`: the keys that a fit needs, and all others as comments.

    Raises ConfigurationError where the file is there already or cannot be written, and DataError for data that cannot
    be opened.
    """
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} is there already: give another -o, or --overwrite")
    source = open_source(data_config(data, str(_N_COMPONENTS)).data)
    text = "\n".join(_lines(data, source)) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None


def _lines(data: str, source: Source) -> Iterator[str]:
    *grid, n_features = source.array.shape if source.array.ndim > 1 else (*source.array.shape, 1)
    rows = " x ".join(f"{size:,}" for size in grid)
    yield from _comment(
        f"{public(data)}: {rows} rows of {pluralize(n_features, 'feature')}{_name_features(source)}.", ""
    )
    yield from _comment("A key behind a # has the value that is shown there. daskgmm config schema has all keys.", "")
    definitions = config_schema()["$defs"]
    given: dict[str, Mapping[str, Any]] = {
        "data": {"path": data},
        "model": {"n_components": _N_COMPONENTS},
        "output": {"directory": "runs/fit"},
    }
    for section, name in _SECTIONS.items():
        own = given.get(section, {})
        yield ""
        yield f"{section}:" if own else f"{section}: {{}}"
        yield from _section(definitions[name]["properties"], own)


def _name_features(source: Source) -> str:
    names = list(source.feature_names or ())
    if not names:
        return ""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f" ({', '.join(names[:_MAX_NAMES])}{more})"


def _section(keys: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for key, described in keys.items():
        yield from _comment(described.get("description", ""), "  ")
        if key in given:
            yield f"  {key}: {json.dumps(given[key])}"
        else:
            yield f"  # {key}: {json.dumps(described.get('default'))}"


def _comment(text: str, indent: str) -> Iterator[str]:
    """Yield lines of a comment, in which nothing ends a line."""
    yield from (f"{indent}# {line}" for line in wrap(printable(text), _COMMENT_WIDTH))
