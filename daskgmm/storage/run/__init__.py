"""A run's directory: staging, lock, checkpoints, metrics."""
