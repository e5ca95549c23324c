"""Benchmarks: `python -m tests.benchmarks NAME` prints medians and ratios, all measured in one run."""
