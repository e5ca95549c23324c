import errno
import os
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
from distributed.core import error_message

from daskgmm.errors import DataError
from daskgmm.filesystem.location import guard_write
from daskgmm.filesystem.retry import RetryPolicy, sendable
from daskgmm.sources.guarded import Guard, Reliable

HASTY = RetryPolicy(attempts=3, first_wait=0.001, longest_wait=0.002, jitter=0.0)
PART = (slice(2, 5), slice(None))


@dataclass
class Ailing:
    """An array whose reads raise these errors, one after the other, before they succeed."""

    errors: list[Exception]
    shape: tuple[int, ...] = (9, 2)
    dtype: np.dtype = field(default_factory=lambda: np.dtype(float))
    ndim: int = 2

    def __getitem__(self, slices):
        if self.errors:
            raise self.errors.pop(0)
        return np.ones(self.shape)[slices]


def reliable(*errors, **options):
    return Reliable(Ailing(list(errors)), "ocean/temp", Guard(HASTY, **options))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "bad"), OSError(errno.EBUSY, "bad"), ConnectionResetError(), TimeoutError()], ids=repr
)
def test_a_read_that_fails_in_passing_is_repeated(error):
    array = reliable(error, error)
    np.testing.assert_array_equal(array[PART], np.ones((3, 2)))
    with pytest.raises(DataError, match=r"^part \[2:5, 0:2\] of ocean/temp cannot be read: .*, after 3 attempts"):
        reliable(error, error, error)[PART]


def test_a_read_that_cannot_succeed_is_not_repeated():
    array = reliable(ValueError("cannot reshape\n  array"), ValueError("again"))
    with pytest.raises(DataError, match=r"of ocean/temp cannot be read: cannot reshape array$"):
        array[PART]
    assert len(array.array.errors) == 1


def test_a_file_without_permission_is_said_at_once():
    array = reliable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), ValueError("again"))
    with pytest.raises(DataError, match=r"access is denied \(.*Permission denied\)"):
        array[PART]
    assert len(array.array.errors) == 1


def test_errors_of_ours_and_want_of_memory_pass_unchanged():
    with pytest.raises(DataError, match=r"^as it is$"):
        reliable(DataError("as it is"))[PART]
    with pytest.raises(MemoryError):
        reliable(MemoryError())[PART]


def test_messages_are_short_and_hide_secrets():
    array = reliable(ValueError("key-of-mine " * 1000), hidden=frozenset({"key-of-mine"}))
    with pytest.raises(DataError) as caught:
        array[PART]
    assert "key-of-mine" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "key-of-mine" not in repr(array)


class UnsendableError(PermissionError):
    """An error of a store that no worker can send, as aiohttp's are."""

    def __reduce__(self):
        raise TypeError("cannot pickle it")


def received(error):
    """Return an error as a client gets it from a worker."""
    return pickle.loads(error_message(error)["exception"].data)  # our own


def test_a_refusal_arrives_from_a_worker_as_it_is():
    with pytest.raises(DataError) as caught:
        reliable(UnsendableError("Forbidden"))[PART]
    error = received(caught.value)
    assert type(error) is DataError
    assert str(error).startswith("part [2:5, 0:2] of ocean/temp cannot be read: access is denied (Forbidden)")


def test_a_refusal_of_what_is_written_arrives_too(tmp_path):
    def write():
        with sendable(), guard_write(tmp_path):
            raise UnsendableError("Forbidden")

    with pytest.raises(DataError) as caught:
        write()
    assert "cannot be written: access is denied (Forbidden)" in str(received(caught.value))
