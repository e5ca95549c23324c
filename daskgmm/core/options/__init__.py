"""The options of models, fits and sweeps."""
