"""Reads that fail: tried again where that may help, and else explained in one line."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import stamina

from ...errors import DaskGMMError, DataError
from ..places import is_url
from .readers import Readable, Slices

T = TypeVar("T")
Locate = Callable[[Slices], str]  # finds what of a stored array cannot be read

logging.getLogger("stamina").addHandler(logging.NullHandler())  # else Python prints its warnings without their content


@dataclass(frozen=True)
class RetryPolicy:
    """How often a read is tried, and how long is waited between: twice as long each time, plus a random share."""

    attempts: int = 5
    first_wait: float = 1.0  # seconds
    longest_wait: float = 8.0
    jitter: float = 1.0


PATIENT = RetryPolicy()  # about 17 seconds in all


@dataclass(frozen=True)
class Guard:
    """Runs reads: retries what may pass, and turns what does not into a DataError of one line."""

    retry: RetryPolicy = PATIENT
    hidden: frozenset[str] = field(default=frozenset(), repr=False)  # must not stand in a message

    def __call__(self, read: Callable[[], T], what: str, locate: Callable[[], str] | None = None) -> T:
        """Return what `read` returns. `what` names it in messages, `locate` finds the part of it that is damaged."""
        try:
            for attempt in self._attempts():
                with attempt:
                    return read()
        except (DaskGMMError, MemoryError):
            raise
        except Exception as error:  # stores, codecs and file formats raise errors of many classes
            raise DataError(self._explain(error, what, locate)) from None
        raise AssertionError("the last attempt returns or raises")

    def _attempts(self) -> Iterator[Any]:
        return iter(
            stamina.retry_context(
                on=is_transient,
                attempts=self.retry.attempts,
                timeout=None,
                wait_initial=self.retry.first_wait,
                wait_max=self.retry.longest_wait,
                wait_jitter=self.retry.jitter,
            )
        )

    def _explain(self, error: Exception, what: str, locate: Callable[[], str] | None) -> str:
        if is_denied(error):
            message = denial(what, error)
        elif is_transient(error):
            message = f"{what} cannot be read: {_reason(error)}, after {self.retry.attempts} attempts: try again later"
        else:
            place = locate() if locate is not None else ""
            message = f"{what} cannot be read{place and f', {place} is damaged'}: {_reason(error)}"
        return self._without_secrets(" ".join(message.split()))

    def _without_secrets(self, message: str) -> str:
        for secret in sorted(self.hidden, key=len, reverse=True):
            message = message.replace(secret, "***")
        return message


@dataclass(frozen=True)
class Reliable:
    """A stored array whose reads are guarded."""

    array: Readable
    name: str  # what a message calls it
    guard: Guard
    locate: Locate | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> Any:
        locate = self.locate
        where = None if locate is None else lambda: locate(slices)
        return self.guard(lambda: self.array[slices], f"{_region(slices, self.shape)} of {self.name}", where)


def _region(slices: Slices, shape: tuple[int, ...]) -> str:
    bounds = [one.indices(size)[:2] for one, size in zip(slices, shape, strict=False)]
    return f"part [{', '.join(f'{start}:{stop}' for start, stop in bounds)}]"


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


def denial(what: str, error: Exception) -> str:
    """Return the message for a read that is not permitted, with the remedy."""
    remedy = (
        "data.storage_options or the environment must hold credentials" if is_url(what) else "check its permissions"
    )
    return f"{what} cannot be read: access is denied ({_reason(error)}): {remedy}"


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


def _reason(error: Exception) -> str:
    status, text = _status(error), getattr(error, "message", None) or str(error) or type(error).__name__
    text = text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
    return text if status is None else f"the server answers {status}, {text}"


_LONGEST_REASON = 300


def optional(module: str, extra: str, what: str) -> Any:
    """Return a module of an extra; raise DataError with the command that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise DataError(f"{what} needs the package {module}: pip install 'daskgmm[{extra}]'") from None
