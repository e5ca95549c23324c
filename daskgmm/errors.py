"""The errors that a person can act on; each has the exit code of the command line."""

from __future__ import annotations

from typing import ClassVar


class DaskGMMError(Exception):
    """Base of the errors whose message is one line: what, where, the value and the remedy."""

    exit_code: ClassVar[int] = 1


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
