"""Sweeps over numbers of components and covariance types."""
