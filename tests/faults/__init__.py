"""Faults that are made for real while a fit runs: python -m tests.faults [--times 20]."""
