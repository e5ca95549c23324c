"""Tables for the terminal: models, sweeps, comparisons."""
