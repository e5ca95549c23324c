"""Fits and sweeps over rows, for jobs and estimators."""
