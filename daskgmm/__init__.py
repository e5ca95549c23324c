"""Gaussian mixture clustering for data that outgrows one machine, on Dask."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .defaults import register_defaults

if TYPE_CHECKING:
    from .estimators.gaussian_mixture import GaussianMixture
    from .estimators.selector import GaussianMixtureSelector
    from .storage.formats.model import load_model

register_defaults()

__all__ = ["GaussianMixture", "GaussianMixtureSelector", "load_model"]

_HOMES = {
    "GaussianMixture": "daskgmm.estimators.gaussian_mixture",
    "GaussianMixtureSelector": "daskgmm.estimators.selector",
    "load_model": "daskgmm.storage.formats.model",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line starts without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
