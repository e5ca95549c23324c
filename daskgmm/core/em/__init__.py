"""Expectation maximisation: E-step, M-step, the loop and what speeds it up."""
