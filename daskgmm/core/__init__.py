"""Arrays in, values out: the mathematics of the fit. No Dask, no files, no clock, no terminal."""
