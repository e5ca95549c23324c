"""Formats of what a job writes: models, checkpoints, results, records, exports."""
