"""Imports point down and siblings never meet: DESIGN section 4 as a table."""

import ast
from pathlib import Path

import pytest

import daskgmm

BASE = {"errors", "events", "wording"}
LAYERS = {"core", "chunked", "storage", "clusters", "report"}
TOP = [  # each above those before it
    *("defaults", "config", "checks", "given", "row_weights", "inputs", "signals", "telling", "resuming", "results"),
    *("planning", "preflight", "performance", "watching", "opening", "tracking", "recording", "reporting"),
    *("scoring", "selecting", "starting", "job", "sweep_job"),
    *("status", "estimator", "selector", "cli", "entry", "__main__", "__init__"),
]
ALLOWED = {  # part of the package: what it may import of the package beside itself
    "errors": set(),
    "events": set(),
    "wording": set(),
    "core": BASE,
    **dict.fromkeys(LAYERS - {"core"}, BASE | {"core"}),
    **{module: BASE | LAYERS | set(TOP[:height]) for height, module in enumerate(TOP)},
}
OUTSIDE_CORE = {"dask", "distributed", "zarr", "click", "rich", "time", "pathlib"}  # no cluster, file, clock, terminal

ROOT = Path(daskgmm.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imported(module, tree):
    """Yield the absolute name of everything that is imported in a syntax tree of the module."""
    package = ["daskgmm", *module.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            above = package[: len(package) + 1 - node.level] if node.level else []
            yield from (".".join([*above, *base, alias.name]) for alias in node.names)


def own_parts(names):
    """Return the parts of the package that these names belong to."""
    parts = [name.split(".")[1] for name in names if name.startswith("daskgmm.")]
    modules = {module.with_suffix("").parts[0] for module in MODULES}
    return {part if part in modules else "__init__" for part in parts}


def tree_of(module):
    return ast.parse((ROOT / module).read_text())


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_the_table_allows(module):
    part = module.with_suffix("").parts[0]
    assert part in ALLOWED, "a new part of the package has its place in the table"
    assert own_parts(imported(module, tree_of(module))) - {part} <= ALLOWED[part]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nothing_of_the_package_is_imported_inside_a_function(module):
    nodes = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert own_parts(name for node in nodes for name in imported(module, node)) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] == "core"], ids=str)
def test_core_knows_no_cluster_file_clock_or_terminal(module):
    assert {name.split(".")[0] for name in imported(module, tree_of(module))}.isdisjoint(OUTSIDE_CORE)
