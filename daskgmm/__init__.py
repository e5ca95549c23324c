"""Gaussian mixture clustering for data that outgrows one machine, on Dask."""

from .defaults import register_defaults
from .estimator import GaussianMixture
from .selector import GaussianMixtureSelector
from .storage.model import load_model

register_defaults()

__all__ = ["GaussianMixture", "GaussianMixtureSelector", "load_model"]
