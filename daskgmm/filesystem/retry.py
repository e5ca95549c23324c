"""Stores that fail: what may pass and is tried again, what is not permitted, and how either is reported."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import stamina
from pydantic import ValidationError

from ..errors import DaskGMMError
from .retry_counts import note_retry

T = TypeVar("T")

logging.getLogger("stamina").addHandler(logging.NullHandler())  # else Python prints its warnings without their content


@dataclass(frozen=True)
class RetryPolicy:
    """How often a read or write is tried, and how long is waited: twice as long each time, plus a random share."""

    attempts: int = 5
    first_wait: float = 1.0  # seconds
    longest_wait: float = 8.0
    jitter: float = 1.0


PATIENT_POLICY = RetryPolicy()  # about 17 seconds in all


def retry(action: Callable[[], T], policy: RetryPolicy = PATIENT_POLICY) -> T:
    """Run an action, and again after errors that may pass; return its result."""
    for attempt in stamina.retry_context(
        on=is_transient,
        attempts=policy.attempts,
        timeout=None,
        wait_initial=policy.first_wait,
        wait_max=policy.longest_wait,
        wait_jitter=policy.jitter,
    ):
        with attempt:
            if attempt.num > 1:
                note_retry()
            return action()
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def sendable() -> Iterator[None]:
    """Let a refusal pass without the error of a store that it tells of, which not every worker could send."""
    try:
        yield
    except DaskGMMError as error:
        error.__cause__ = error.__context__ = None
        raise


_TRANSIENT_NUMBERS = {
    getattr(errno, name)
    for name in (
        *("EIO", "EBUSY", "EAGAIN", "EINTR", "ETIMEDOUT", "ESTALE", "EREMOTEIO", "EPIPE"),
        *("ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)  # not every system has all of them
}
_TRANSIENT_NAMES = {  # of aiohttp and botocore, which need not be installed
    *("ClientConnectionError", "ClientPayloadError"),
    *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseStreamingError"),
}
_DENIED_NAMES = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}


def is_transient(error: Exception) -> bool:
    """Return whether the same read may succeed in a while: a lost connection, a busy device, HTTP 429 or 5xx."""
    if isinstance(error, DaskGMMError):
        return False
    status = _status(error)
    if status is not None:
        return status == 429 or status >= 500
    if isinstance(error, ConnectionError | TimeoutError) or _class_names(error) & _TRANSIENT_NAMES:
        return True
    return isinstance(error, OSError) and error.errno in _TRANSIENT_NUMBERS


def denial(what: str, done: str, error: Exception, section: str | None = None) -> str:
    """Return the message for what is not permitted to be `done` (read or written), with the remedy.

    `section` of the configuration has the store's options: data for what is read and output for what is written, if it
    is not given.
    """
    section = section or ("data" if done == "read" else "output")
    credentials = f"{section}.storage_options or the environment must hold credentials"
    remedy = credentials if "://" in what else "check its permissions"
    return f"{what} cannot be {done}: access is denied ({reason(error)}): {remedy}"


def trouble(what: str, done: str, error: Exception) -> str | None:
    """Return the message for a store of output that denies, or that does not answer; None for other errors."""
    if is_denied(error):
        return denial(what, done, error, "output")
    if is_transient(error):
        return f"{what} cannot be {done}: {reason(error)}: {remedy(what, error)}"
    return None


def remedy(what: str, error: Exception) -> str:
    """Return the remedy for a transient error that persisted."""
    if "://" in what and _status(error) is None:  # nobody answers
        return "check the URL and the endpoint in storage_options or the environment, or try again later"
    return "try again later"


def is_denied(error: Exception) -> bool:
    """Return whether permission or credentials are missing."""
    return (
        isinstance(error, PermissionError) or _status(error) in {401, 403} or bool(_class_names(error) & _DENIED_NAMES)
    )


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status that a client library put into the error, or into its cause."""
    if error is None:
        return None
    response = getattr(error, "response", None)
    status = getattr(error, "status", None)  # aiohttp's
    if status is None and isinstance(response, Mapping):  # botocore's
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status is None:
        status = getattr(error, "code", None)  # gcsfs's
    return status if isinstance(status, int) and 400 <= status < 600 else _status(error.__cause__)


def _class_names(error: Exception) -> set[str]:
    return {one.__name__ for one in type(error).__mro__}


def reason(error: Exception) -> str:
    """Describe an error in one short line, with the status that a server gave."""
    status, text = _status(error), getattr(error, "message", None) or str(error) or type(error).__name__
    if isinstance(error, ValidationError):  # whose text has lines for each mistake, with what was read
        first = error.errors(include_url=False, include_input=False)[0]
        text = ": ".join([".".join(map(str, first["loc"])) or "it", first["msg"]])
    text = text if len(text) <= _MAX_REASON_LENGTH else text[:_MAX_REASON_LENGTH] + "..."
    text = " ".join(text.split())
    return text if status is None else f"the server answers {status}, {text}"


_MAX_REASON_LENGTH = 300
