"""Reads that fail: tried again where that may help, and else explained in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from ..errors import DaskGMMError, DataError
from ..filesystem.retry import (
    PATIENT_POLICY,
    RetryPolicy,
    denial,
    is_denied,
    is_transient,
    reason,
    remedy,
    retry,
    sendable,
)
from .readable import Readable, Slices, Wrapped

T = TypeVar("T")
Locate = Callable[[Slices], str]  # finds what of a stored array cannot be read


@dataclass(frozen=True)
class Guard:
    """Runs reads: retries what may pass, and turns what does not into a DataError of one line."""

    retry: RetryPolicy = PATIENT_POLICY
    hidden: frozenset[str] = field(default=frozenset(), repr=False)  # must not stand in a message

    def __call__(self, read: Callable[[], T], what: str, locate: Callable[[], str] | None = None) -> T:
        """Return the result of `read`. `what` names it in messages, `locate` finds a damaged part of it."""
        with sendable():
            return self._read_guarded(read, what, locate)

    def _read_guarded(self, read: Callable[[], T], what: str, locate: Callable[[], str] | None) -> T:
        try:
            return retry(read, self.retry)
        except DaskGMMError as error:
            if (message := self._without_secrets(str(error))) == str(error):
                raise
            raise type(error)(message) from None
        except MemoryError:
            raise
        except Exception as error:  # stores, codecs and file formats raise errors of many classes
            raise DataError(self._explain(error, what, locate)) from None

    def _explain(self, error: Exception, what: str, locate: Callable[[], str] | None) -> str:
        if is_denied(error):
            message = denial(what, "read", error)
        elif is_transient(error):
            attempts = f"after {self.retry.attempts} attempts"
            message = f"{what} cannot be read: {reason(error)}, {attempts}: {remedy(what, error)}"
        else:
            place = locate() if locate is not None else ""
            message = f"{what} cannot be read{place and f', {place} is damaged'}: {reason(error)}"
        return self._without_secrets(" ".join(message.split()))

    def _without_secrets(self, message: str) -> str:
        for secret in sorted(self.hidden, key=len, reverse=True):
            message = message.replace(secret, "***")
        return message


@dataclass(frozen=True)
class Reliable(Wrapped):
    """A stored array whose reads are guarded."""

    array: Readable
    name: str  # what a message calls it
    guard: Guard
    locate: Locate | None = None

    def __getitem__(self, slices: Slices) -> Any:
        locate = self.locate
        where = None if locate is None else lambda: locate(slices)
        return self.guard(lambda: self.array[slices], f"{_region(slices, self.shape)} of {self.name}", where)


def _region(slices: Slices, shape: tuple[int, ...]) -> str:
    bounds = [one.indices(size)[:2] for one, size in zip(slices, shape, strict=False)]
    return f"part [{', '.join(f'{start}:{stop}' for start, stop in bounds)}]"


def optional(module: str, extra: str, what: str) -> Any:
    """Return a module of an extra; raise DataError with the command that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise DataError(f"{what} needs the package {module}: pip install 'daskgmm[{extra}]'") from None
