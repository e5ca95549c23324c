"""What is read and written: sources, models, results, run directories. No Dask: arrays in and out."""
