"""Mixtures, their covariances, and the statistics that they are estimated from."""
