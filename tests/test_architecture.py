"""Imports point down, and rooms of one floor never meet: a room is a folder, or a module loose in the root."""

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest

import daskgmm
from daskgmm.core.mixture.covariance import ALL_TYPES
from daskgmm.core.mixture.low_rank import FACTOR_TYPES

FLOORS = [  # each may import of those above it in this list
    {"errors", "events", "text", "options", "defaults"},
    {"blas", "concurrency", "filesystem", "yaml_text"},
    {"core/arrays"},
    {"core/mixture"},
    {"core/kernels"},
    {"core/em", "core/scoring"},
    {"core/init"},
    {"core/selection"},
    {"core/options", "provenance"},
    {"chunked", "sources", "clusters", "report", "storage"},
    {"clusters/kinds", "fitting", "report/terminal", "storage/run"},
    {"storage/formats", "report/html"},
    {"config"},
    {"observers"},
    {"estimators", "jobs", "plots"},
    {"cli", "__init__"},
    {"__main__"},
]
ONE_ROOM = {"sources/tables": "sources", "cli/commands": "cli"}  # folders that count as the one above them
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OUTSIDE_CORE = {"dask", "distributed", "zarr", "click", "rich", "time", "pathlib"}  # no cluster, file, clock, terminal

ROOT = Path(daskgmm.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
PATHS = {*MODULES}


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


def room_of(module):
    """Return the room of a module's path within the package."""
    folder = module.parent.as_posix()
    return module.stem if folder == "." else ONE_ROOM.get(folder, folder)


def rooms_of(names):
    """Return the rooms of the package that these names belong to."""
    return {room_of(_module_of(name.split(".")[1:])) for name in names if name.split(".")[0] == "daskgmm"}


def _module_of(parts):
    """Return the path of the module that a dotted name within the package leads to."""
    for length in range(len(parts), 0, -1):
        path = Path(*parts[:length])
        for module in (path.with_suffix(".py"), path / "__init__.py"):
            if module in PATHS:
                return module
    return Path("__init__.py")


@cache
def tree_of(module):
    return ast.parse((ROOT / module).read_text())


def test_modules_import_only_from_floors_below_their_own():
    rooms = {module: rooms_of(imported(module, tree_of(module))) for module in MODULES}
    placed = [module for module in MODULES if rooms[module] or module.name != "__init__.py" or not module.parent.parts]
    assert {room_of(module) for module in placed} <= FLOOR_OF.keys(), "a new room has its place in the table"
    upward = {
        (str(module), other)
        for module in placed
        for other in rooms[module] - {room_of(module)}
        if FLOOR_OF[other] >= FLOOR_OF[room_of(module)]
    }
    assert upward == set()


def test_at_most_twelve_modules_lie_loose_in_the_root():
    assert len([module for module in MODULES if len(module.parts) == 1]) <= 12


def test_nothing_of_the_package_is_imported_inside_a_function():
    inside = {
        (str(module), node.name)
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and rooms_of(imported(module, node))
    }
    assert inside == set()


def test_core_knows_no_cluster_file_clock_or_terminal():
    outside = set()
    for module in (module for module in MODULES if module.parts[0] == "core"):
        allowed = {"pathlib"} if module.stem == "numba_internals" else set()  # compiled code is kept in files
        packages = {name.split(".")[0] for name in imported(module, tree_of(module))}
        outside |= {(str(module), one) for one in packages & OUTSIDE_CORE - allowed}
    assert outside == set()


@pytest.mark.parametrize(
    ("old", "name"), [("job", "fit"), ("storage.model", "load_model"), ("storage.results", "read_result")]
)
def test_scripts_find_what_has_moved_by_its_old_path(old, name):
    assert callable(getattr(importlib.import_module(f"daskgmm.{old}"), name))


UNDOCUMENTED = ("numba.core", "zarr.core", "distributed.utils", "distributed.core")  # modules of other packages


def private_imports(tree):
    """Yield the names of what is imported of other packages that begin with an underscore, or lie in such a module.

    So for names in modules that are not documented.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            hidden = f"{node.module}.".startswith(tuple(f"{module}." for module in UNDOCUMENTED))
            yield from (name for name in names if hidden or any(part[0] == "_" for part in name.split(".")))


def test_other_packages_private_names_are_imported_by_one_module_each():
    others = [module for module in MODULES if not module.stem.endswith("_internals")]
    assert {name for module in others for name in private_imports(tree_of(module))} == set()


PRIVATE_ATTRIBUTES = {  # of dask, distributed, dask-jobqueue and zarr
    "_meta", "consolidated_metadata", "encode_chunk_key", "futures", "get_task_prefix_states", "identity", "job_cls",
    "ncores", "observed", "processing", "shutdown_on_close", "worker_spec",
}  # fmt: skip
SENT_TO_SCHEDULERS = {"abandonment", "departures"}  # where there may be no package of ours to import from


def test_other_packages_private_attributes_are_used_by_one_module_each():
    users = {
        str(module)
        for module in MODULES
        if not module.stem.endswith("_internals") and module.stem not in SENT_TO_SCHEDULERS
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE_ATTRIBUTES and _is_foreign(node)
    }
    assert users == set()


def _is_foreign(node):
    """Return whether an attribute is not that of a value of our own, which may be named alike."""
    return not (isinstance(node.value, ast.Name) and node.value.id == "self")


def test_covariance_types_are_asked_for_by_name_in_core_mixture_alone():
    others = [module for module in MODULES if module.parts[:2] != ("core", "mixture")]
    assert [module for module in others if {*ALL_TYPES, *FACTOR_TYPES} & compared_constants(tree_of(module))] == []


def compared_constants(tree):
    """Return the constants that comparisons in a syntax tree hold."""
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    return {one.value for node in compared for one in ast.walk(node) if isinstance(one, ast.Constant)}


ACROSS_MODULES = {  # tests that mirror no module: what they are of
    "chunked/test_fit": "a whole fit over chunked rows, by the functions of all rooms below",
    "chunked/test_schedulers": "the same bits on all schedulers",
    "clusters/kinds/test_kinds": "what all kinds of clusters have alike",
    "cli/test_commands": "the commands, each as a user runs it",
    "core/em/test_families": "E-step, M-step and loop of each covariance family",
    "core/init/test_families": "moves of components of each covariance family",
    "core/kernels/test_cache": "processes that compile kernels and that load them",
    "estimators/test_evidence": "sweeps of posteriors",
    "estimators/test_families": "covariance families, from the estimator to the command line",
    "estimators/test_frozen": "frozen components, from the estimator to jobs",
    "estimators/test_low_rank": "factor analysers behind the estimator",
    "estimators/test_missing": "missing values behind the estimator",
    "estimators/test_noise": "the noise component, from the estimator to files",
    "estimators/test_reduce": "mixtures of principal components behind the estimator",
    "estimators/test_sklearn_conformance": "scikit-learn's own tests",
    "jobs/test_damage": "damaged files of runs",
    "jobs/test_errors": "data that give numerical trouble",
    "jobs/test_full_disk": "stores that take no more",
    "jobs/test_hostile": "files that a hostile hand wrote",
    "jobs/test_inference": "priors and posteriors in jobs",
    "jobs/test_labels": "labelled rows in jobs",
    "jobs/test_missing": "missing values in jobs",
    "jobs/test_real_data": "the configurations of the project on real data",
    "jobs/test_reduce": "principal components in jobs",
    "jobs/test_report_numbers": "numbers of a report against SciPy",
    "jobs/test_secrets": "secrets that nothing prints or writes",
    "jobs/test_sources": "the same rows from every kind of source",
    "jobs/test_sweep_resume": "sweeps that are interrupted",
    "plots/test_displays": "what all displays have alike",
    "report/html/test_look": "pages as a browser shows them",
    "sources/tables/test_vectors": "columns of lists in each format of tables",
    "sources/test_feature_axis": "features along another axis in each kind of source",
    "sources/test_folders": "folders, patterns and URLs in each kind of source",
    "sources/test_round_trips": "what reference libraries write",
    "storage/formats/test_results": "results in zarr and in tables, with the same contents",
    "storage/test_remote": "runs on remote file systems",
    "test_architecture": "imports of all modules",
    "test_benchmarks": "the programs of tests/benchmarks",
    "test_config_schema": "the schema beside the program",
    "test_dependencies": "packages that are declared and imported",
    "test_deploy": "the files of deploy/",
    "test_documents": "commands and examples of the documents",
    "test_faults": "the programs of tests/faults",
    "test_pictures": "the pictures of README.md",
    "test_references": "answers of other programs",
    "test_sampling": "which cases of tests run, and when",
    "test_types": "types of public options, as mypy reads them",
}


def test_tests_mirror_a_module_or_are_listed():
    tests = Path(__file__).parent
    files = {path.relative_to(tests).with_suffix("") for path in tests.rglob("test_*.py")}
    modules = {module.with_suffix("") for module in MODULES}
    others = {file.as_posix() for file in files if file.with_name(file.name.removeprefix("test_")) not in modules}
    assert others == set(ACROSS_MODULES), "name a test file as the module that it tests, or list what it is of"
