import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import daskgmm
from tests.lowest_versions import lowest_versions

PACKAGE = Path(daskgmm.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"PIL": "pillow", "ruamel": "ruamel.yaml", "sklearn": "scikit-learn", "upath": "universal-pathlib"}
BOUND = {"numcodecs"}  # zarr's own, of which older versions are not safe
MODULES = {distribution: module for module, distribution in DISTRIBUTIONS.items()}


def imports_when_loaded(path):
    """Return the names of packages that a module imports when it is loaded itself, TYPE_CHECKING left out."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    used = {name for path in PACKAGE.rglob("*.py") for name in imports_when_loaded(path)} - sys.stdlib_module_names
    declared = {re.match(r"[\w.-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    anywhere = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in used} - declared == set()
    names = {one: MODULES.get(one, one.replace("-", "_")) for one in declared}
    unused = {one for one in declared - BOUND if not re.search(rf"(import|from) {names[one]}\b", anywhere)}
    assert unused == set()


def test_constraints_are_the_lower_bounds_of_the_project():
    project = {
        "dependencies": ["numpy>=2.0", "dask[array]>=2026.6.0"],
        "optional-dependencies": {"s3": ["s3fs>=2024.12"], "bench": ["pyspark>=4.0"]},
    }
    assert lowest_versions(project, ["s3"]) == ["dask==2026.6.0", "numpy==2.0", "s3fs==2024.12"]


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_every_dependency_of_the_package_has_a_lower_bound(extra):
    if extra in {"test", "test-clusters"}:
        return
    requirements = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    assert len(lowest_versions({"dependencies": requirements}, [])) == len(requirements)
