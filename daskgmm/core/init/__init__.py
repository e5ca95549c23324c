"""Starts of EM, and split-and-merge moves."""
