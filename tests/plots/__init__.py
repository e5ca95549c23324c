"""Plots from Python, behind scikit-learn's Display interface."""
