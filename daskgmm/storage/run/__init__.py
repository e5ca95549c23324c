"""A run directory: staging, lock, checkpoints, metrics."""
