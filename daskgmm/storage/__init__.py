"""Storage of models, results and run directories. No Dask: arrays in, arrays out."""
