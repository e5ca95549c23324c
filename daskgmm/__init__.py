"""Gaussian mixture clustering for data that outgrows one machine, on Dask."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .defaults import register_defaults

if TYPE_CHECKING:
    from .estimators.bayesian_mixture import BayesianGaussianMixture
    from .estimators.bootstrap import bootstrap
    from .estimators.gaussian_mixture import GaussianMixture
    from .estimators.likelihood_ratio import likelihood_ratio_test
    from .estimators.merged_runs import merge_runs
    from .estimators.saved_model import load_model
    from .estimators.selector import GaussianMixtureSelector

register_defaults()
logging.getLogger(__name__).addHandler(logging.NullHandler())  # what a program does not ask for is not printed

__all__ = [
    "BayesianGaussianMixture",
    "GaussianMixture",
    "GaussianMixtureSelector",
    "bootstrap",
    "likelihood_ratio_test",
    "load_model",
    "merge_runs",
]

_HOMES = {
    "BayesianGaussianMixture": "daskgmm.estimators.bayesian_mixture",
    "GaussianMixture": "daskgmm.estimators.gaussian_mixture",
    "GaussianMixtureSelector": "daskgmm.estimators.selector",
    "bootstrap": "daskgmm.estimators.bootstrap",
    "likelihood_ratio_test": "daskgmm.estimators.likelihood_ratio",
    "load_model": "daskgmm.estimators.saved_model",
    "merge_runs": "daskgmm.estimators.merged_runs",
}

_MOVED = {  # modules that scripts import by the paths that they had before 0.1
    "daskgmm.job": "daskgmm.jobs.fit",
    "daskgmm.storage.model": "daskgmm.storage.formats.model",
    "daskgmm.storage.results": "daskgmm.storage.formats.results_zarr",
}


class _OldPaths(MetaPathFinder, Loader):
    """Finds what has moved under its old path."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        return ModuleSpec(fullname, self) if fullname in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        moved = vars(import_module(_MOVED[module.__name__]))
        vars(module).update({name: value for name, value in moved.items() if not name.startswith("__")})


sys.meta_path.append(_OldPaths())


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line starts without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
