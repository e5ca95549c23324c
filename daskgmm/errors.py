"""The errors that a person can act on; each has the exit code of the command line."""

from __future__ import annotations

import re
from typing import ClassVar

_USER = re.compile(r"(?<=://)[^\s/'\"]*@")
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*")  # elsewhere ? is a pattern: s3://bucket/part-?.csv


def without_credentials(text: str) -> str:
    """Return the text with its URLs cut to what is no secret: no user, no password, no query (of http)."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


class DaskGMMError(Exception):
    """Base of the errors whose message is one line: what, where, the value and the remedy; URLs without credentials."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        """Keep the message."""
        super().__init__(without_credentials(message))


class ConfigurationError(DaskGMMError, ValueError):
    """A configuration that cannot be used: unknown key, wrong type, value out of its bounds."""

    exit_code: ClassVar[int] = 2


class DataError(DaskGMMError, ValueError):
    """Data (or a stored model) that cannot be used as asked."""

    exit_code: ClassVar[int] = 3


class SingularCovarianceError(DataError):
    """A component's covariance is not positive definite."""


class ClusterLostError(DaskGMMError):
    """The cluster that computed is gone, or lost a task with every worker that tried it."""

    exit_code: ClassVar[int] = 5


class RunInUseError(DaskGMMError):
    """The run directory belongs to another run, which lives: this one may go on later."""

    exit_code: ClassVar[int] = 5
