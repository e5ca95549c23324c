"""The verbs of `core` over dask arrays, on whatever scheduler is active."""
