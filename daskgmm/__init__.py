"""Gaussian mixture clustering for data that outgrows one machine, on Dask."""

from .storage.model import load_model

__all__ = ["load_model"]
