"""Gaussian mixture clustering for data that outgrows one machine, on Dask."""

from .estimator import GaussianMixture
from .storage.model import load_model

__all__ = ["GaussianMixture", "load_model"]
