"""Replace `<!-- generated: NAME -->` in a page by text made from the package: its JSON Schema, its folders."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from daskgmm.config import config_schema

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
    "null": "null",
}
WIDTH, ROW, GAP = 720, 34, 8  # pixels of the picture of the layers


def configuration() -> str:
    """Return the reference of all configuration keys as Markdown."""
    schema = config_schema()
    return "\n\n".join(_section(name, value, schema["$defs"]) for name, value in schema["properties"].items())


def _section(name: str, value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a section of the configuration: a table, or for `cluster` one for each kind."""
    value = value.get("anyOf", [value])[0]  # the others are null
    if "discriminator" not in value:
        return f"## {name}\n\n{_options(_definition(value), definitions, name)}"
    kinds = value["discriminator"]["mapping"]
    tables = [f"### {kind}\n\n{_options(_last(reference), definitions, name)}" for kind, reference in kinds.items()]
    return f"## {name}\n\n{value['description']} `{name}.kind` says which of these it is.\n\n" + "\n\n".join(tables)


def _options(definition: str, definitions: dict[str, Any], path: str) -> str:
    """Return the description and the table of a class of options, and the tables of those within it."""
    options = definitions[definition]
    rows = [
        _row(f"{path}.{key}", value, key in options.get("required", [])) for key, value in options["properties"].items()
    ]
    table = "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows])
    nested = [
        f"Keys of `{path}.{key}`. {_options(reference, definitions, f'{path}.{key}')}"
        for key, value in options["properties"].items()
        if (reference := _definition(value)) is not None
    ]
    return "\n\n".join([_cell(options.get("description", "")), table, *nested])


def _row(path: str, value: dict[str, Any], required: bool) -> str:
    default = "required" if required else f"`{_yaml(value['default'])}`" if "default" in value else ""
    return f"| `{path}` | {_cell(_type(value))} | {_cell(default)} | {_cell(value.get('description', ''))} |"


def _type(value: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(one) for one in value["anyOf"]))
    if "const" in value or "enum" in value:
        return ", ".join(f"`{_yaml(one)}`" for one in value.get("enum", [value.get("const")]))
    name = NAMES.get(value.get("type", ""), "mapping" if "$ref" in value else "any value")
    if name == "list" and "items" in value:
        name = f"list of {_type(value['items'])}"
    bounds = [words.format(f"{value[bound]:g}") for bound, words in BOUNDS.items() if bound in value]
    return ", ".join([name, *bounds])


def _definition(value: dict[str, Any]) -> str | None:
    """Return the name of the definition that a value refers to, directly, as an alternative or as an item of a list."""
    for one in (value, *value.get("anyOf", []), value.get("items", {})):
        if "$ref" in one:
            return _last(one["$ref"])
    return None


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _yaml(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    return json.dumps(value) if isinstance(value, bool | list | dict | None) else str(value)


def _cell(text: str) -> str:
    """Return text for a cell of a table: one line, with vertical bars and angle brackets escaped."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def layers() -> str:
    """Return the picture of the layers, from the table of tests/test_architecture.py: high layers above low ones."""
    floors = [sorted(rooms) for rooms in reversed(_floors())]
    height = len(floors) * (ROW + GAP)
    boxes = "".join(box for floor, rooms in enumerate(floors) for box in _boxes(rooms, floor * (ROW + GAP)))
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" role="img" aria-label="The layers of daskgmm, each of which '
        f'imports only from those below it" font-family="system-ui, sans-serif" font-size="13">{boxes}</svg>'
    )


def _boxes(rooms: list[str], top: int) -> Iterator[str]:
    """Yield a box for each folder of a floor, side by side."""
    width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
    for place, room in enumerate(rooms):
        left = place * (width + GAP)
        yield (
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" rx="4" fill="#4c78a8" '
            f'fill-opacity="{0.28 if room.startswith("core/") else 0.12}"/>'
            f'<text x="{left + width / 2:.1f}" y="{top + ROW / 2 + 4.5}" text-anchor="middle" fill="currentColor">'
            f"{html.escape(room)}</text>"
        )


def folders() -> str:
    """Return the table of folders and root modules with the first sentence of each docstring, high layers first."""
    rows = [f"| `{room}` | {_cell(_docstring(room))} |" for rooms in reversed(_floors()) for room in sorted(rooms)]
    return "\n".join(["| folder or module | what it holds |", "|---|---|", *rows])


def _floors() -> list[set[str]]:
    """Return the layers, the lowest first, each with its folders and root modules."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            floors: list[set[str]] = ast.literal_eval(node.value)
            return [rooms - {"__init__", "__main__"} for rooms in floors if rooms - {"__init__", "__main__"}]
    raise LookupError("tests/test_architecture.py has no table FLOORS")


def _docstring(room: str) -> str:
    path = ROOT / "daskgmm" / room
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n\n")[0]


GENERATED: dict[str, Callable[[], str]] = {"configuration": configuration, "layers": layers, "folders": folders}


def replace_marks(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the marks in the text of a page."""
    source[0] = MARK.sub(lambda mark: GENERATED[mark[1]](), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("source-read", replace_marks)
    return {"version": "1", "parallel_read_safe": True}
