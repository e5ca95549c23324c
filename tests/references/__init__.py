"""Answers of other programs, and one check for each list of them: `python -m tests.references --help`."""
