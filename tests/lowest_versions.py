"""Print the lowest versions that pyproject.toml allows, as constraints of pip, for the extras that are named."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

_LOWER_BOUND = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?>=(?P<version>[\w.]+)")


def lowest_versions(project: dict[str, Any], extras: list[str]) -> list[str]:
    """Return a constraint such as numpy==2.0 for each lower bound of the dependencies and the named extras."""
    requirements = [*project["dependencies"]]
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    found = (_LOWER_BOUND.match(requirement) for requirement in requirements)
    return sorted({f"{one['name']}=={one['version']}" for one in found if one})


if __name__ == "__main__":
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    print("\n".join(lowest_versions(pyproject["project"], sys.argv[1:])))
