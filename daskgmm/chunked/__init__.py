"""The steps of a fit over Dask arrays: data summary, sample, passes, prediction. Any Dask scheduler computes them."""
