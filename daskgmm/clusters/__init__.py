"""Clusters: how a job connects to one, checks its workers and watches them."""
