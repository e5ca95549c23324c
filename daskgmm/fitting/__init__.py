"""Fits and sweeps of rows, whatever asks for them."""
