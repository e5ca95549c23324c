"""Listeners of a job: terminal, notebook, MLflow, record."""
