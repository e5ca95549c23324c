"""The job: the data flow of a fit, from the configuration to the run directory."""

from __future__ import annotations
