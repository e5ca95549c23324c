"""Errors that a user can act on. Each has an exit code of the command line."""

from __future__ import annotations

import re
from typing import ClassVar

_USER = re.compile(r"(?<=://)[^\s/'\"]*@")
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*")  # elsewhere ? is a pattern: s3://bucket/part-?.csv


def without_credentials(text: str) -> str:
    """Strip user, password and query (of http) from URLs in the text."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


class DaskGMMError(Exception):
    """Base of all errors. The message is one line: what is wrong, where, the value and the remedy."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        """Keep the message."""
        super().__init__(without_credentials(message))


class ConfigurationError(DaskGMMError, ValueError):
    """The configuration has an unknown key, a wrong type or a value out of bounds."""

    exit_code: ClassVar[int] = 2


class DataError(DaskGMMError, ValueError):
    """The data or a stored model cannot be used."""

    exit_code: ClassVar[int] = 3


class SingularCovarianceError(DataError):
    """A component's covariance is not positive definite."""


class ClusterLostError(DaskGMMError):
    """The cluster is gone, or every worker that tried a task was lost."""

    exit_code: ClassVar[int] = 5


class RunInUseError(DaskGMMError):
    """Another job that is still running has the run directory: try again later."""

    exit_code: ClassVar[int] = 5


class LostLockError(DaskGMMError):
    """Another job took this job's run directory over while this one stood still: nothing more is written there."""

    exit_code: ClassVar[int] = 3
