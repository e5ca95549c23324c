"""The lock of a run directory: one job at a time, with the name of its owner; one that is left behind is taken over.

`.lock` holds the owner as JSON. Where its process can be seen (the same kernel, the same namespace) it is stale when
that process is gone. Elsewhere its heartbeat tells, the time of the file (in an object store, a count in it): one that
stands still is stale after two minutes, or, if the time of the file is older than that, after three beats that were
waited for in vain: clocks may jump, so that age alone proves nothing.
A job whose lock was taken over while it stood still is told so before its next write (`HeldLock`).
An object store without exclusive writes can let two jobs in that begin at the same moment.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
from uuid import getnode, uuid4

import psutil

from ...errors import DataError, LostLockError, RunInUseError
from ...events import Listener, Notice, ignore
from ...filesystem.guards import guard_writes
from ...filesystem.location import make_directory, read_file, remove, remove_if_empty, write_first
from ...filesystem.retry import reason, retry

_LOGGER = logging.getLogger(__name__)

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_START_TOLERANCE = 2.0  # seconds between two readings of when a process was started
_N_BEATS = 3  # that are waited for before any lock of another machine is given up


@dataclass(frozen=True)
class Heartbeat:
    """How often a lock shows that its owner lives, and when it is given up; seconds."""

    every: float = 10.0
    stale: float = 120.0
    look: float = 1.0  # how often one is looked at


@dataclass(frozen=True)
class Owner:
    """Whose a run directory is."""

    user: str
    host: str
    boot: str  # of the kernel: machines may share a name, and the number of a namespace
    namespace: str  # of process numbers: each container has its own
    pid: int
    started: float  # the process, seconds since 1970
    since: str  # when it took the directory
    token: str  # of this lock alone

    @classmethod
    def this_process(cls) -> Owner:
        """Return the owner that this process is."""
        process = psutil.Process()
        since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
        here, started, token = socket.gethostname(), process.create_time(), uuid4().hex
        return cls(_user(), here, _boot(), _namespace(), process.pid, started, since, token)

    @property
    def is_here(self) -> bool:
        """Whether its process can be seen from this one."""
        return (self.host, self.boot, self.namespace) == (socket.gethostname(), _boot(), _namespace())

    @property
    def process_lives(self) -> bool:
        """Whether a process of that number runs that was started when the owner was."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < _START_TOLERANCE
        except psutil.AccessDenied:
            return True
        except (psutil.Error, ArithmeticError, ValueError):  # gone, or of a lock that is damaged
            return False

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid}, since {self.since})"


def owner(directory: Path) -> Owner | None:
    """Return whose lock is on the directory, dead or alive; None where there is none.

    Raises DataError where something else stands in its place.
    """
    lock = directory / LOCK
    try:
        if isinstance(lock, Path) and not S_ISREG(lock.lstat().st_mode):  # a link or a pipe would never go
            raise DataError(f"{lock} is not the lock of a run, which is a file: remove it")
        entry = dict(json.loads(_read(lock)))
        values = {name: type(value)(entry.get(name, value)) for name, value in asdict(_UNKNOWN_OWNER).items()}
        return Owner(**values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DataError:
        raise
    except (ArithmeticError, RecursionError, TypeError, ValueError):
        return _UNKNOWN_OWNER


_UNKNOWN_OWNER = Owner(
    "somebody", "an unknown machine", "", "", 0, 0.0, "an unknown time", ""
)  # of a lock that is damaged


@contextmanager
def hold_lock(directory: Path, listen: Listener = ignore, heartbeat: Heartbeat = Heartbeat()) -> Iterator[None]:
    """Hold the directory, made if it is not there, for this job; raise RunInUseError, naming the owner, if it is taken.

    A directory that was made for it and that nothing came into goes at the end.
    """
    directory = directory.absolute()
    made = not directory.exists()
    mine = Owner.this_process()
    stopped = Event()
    try:
        _acquire(directory, mine, listen, heartbeat)
        beating = Thread(target=_beat, args=(directory, mine, heartbeat.every, stopped), daemon=True)
        beating.start()
        try:
            with _guard_directory(HeldLock(directory, mine)):
                yield
        finally:
            stopped.set()
            beating.join()
            _release(directory, mine, listen)
    finally:
        if made:
            remove_if_empty(directory)


@dataclass(frozen=True)
class HeldLock:
    """The lock that a job took: the guard of its directory, in the client and in workers that write for it."""

    directory: Path
    mine: Owner

    def check(self) -> None:
        """Raise LostLockError if another job holds the directory now, or may have done so."""
        self.compare(retry(lambda: owner(self.directory)))

    def compare(self, other: Owner | None) -> None:
        """Raise LostLockError unless this owner, which the directory has now, is that of the lock."""
        if other is not None and other.token == self.mine.token:
            return
        if other is None and not self.directory.exists():
            return  # what is written next fails, and says so
        gone = f"the lock of this job on {self.directory} has been removed, and another run may have been there"
        taken = f"{self.directory} was taken over by {other} while this job stood still"
        raise LostLockError(
            f"{gone if other is None else taken}; nothing more is written, and --resume goes on once no run is there"
        )


@contextmanager
def _guard_directory(lock: HeldLock) -> Iterator[None]:
    """Guard the directory; an error of a job that has lost its lock is reported as that, its most likely cause."""
    with guard_writes(lock.directory, lock):
        try:
            yield
        except LostLockError:
            raise
        except Exception as error:
            _check_after(lock, error)
            raise


def _check_after(lock: HeldLock, error: Exception) -> None:
    """Raise LostLockError from the error if the lock is lost."""
    try:
        lock.compare(owner(lock.directory))
    except LostLockError as lost:
        raise lost from error
    except Exception:  # a store that fails, which is what the error is of, most likely
        _LOGGER.debug("the lock of %s was not read", lock.directory, exc_info=True)


def _release(directory: Path, mine: Owner, listen: Listener) -> None:
    """Remove the own lock; a store that fails now is reported, and hides no error of the job."""
    try:
        if owner(directory) == mine:
            remove(directory / LOCK)
    except Exception as error:  # stores raise errors of many classes
        listen(
            Notice(f"the lock {directory / LOCK} could not be removed ({reason(error)}): the next run takes it over")
        )


def _acquire(directory: Path, mine: Owner, listen: Listener, heartbeat: Heartbeat) -> None:
    while not _create(directory / LOCK, mine):
        other = owner(directory)
        if other is None:
            continue  # released meanwhile
        if _lives(directory, other, listen, heartbeat):
            raise RunInUseError(
                f"output.directory {str(directory)!r} is in use by {other}: wait for its end, or choose another"
            )
        if _take_over(directory / LOCK, other, mine):
            listen(Notice(f"the lock of {other} was left behind, and is taken over"))
            return


def _create(lock: Path, mine: Owner) -> bool:
    """Write the lock unless there is one; return whether it was written."""
    if not isinstance(lock, Path):
        return _create_object(lock, mine)
    temporary = _temporary(lock, mine)
    try:
        os.link(temporary, lock)  # whole from its first moment on
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        with suppress(FileExistsError), lock.open("x", encoding="utf-8") as file:
            file.write(_text(mine))
            return True
        return False
    finally:
        temporary.unlink()
    return True


def _create_object(lock: Any, mine: Owner) -> bool:
    make_directory(lock.parent)
    if lock.exists():
        return False
    try:
        lock.fs.pipe_file(lock.path, _text(mine).encode(), mode="create")
    except FileExistsError:
        return False
    except (NotImplementedError, TypeError, ValueError):  # a store without exclusive writes
        lock.write_text(_text(mine), encoding="utf-8")
    return owner(lock.parent) == mine


def _take_over(lock: Path, stale: Owner, mine: Owner) -> bool:
    """Put the own lock in the place of a stale one, unless another job was faster; return whether it was put."""
    if not isinstance(lock, Path):
        lock.write_text(_text(mine), encoding="utf-8")
        return owner(lock.parent) == mine
    with suppress(FileNotFoundError), lock.open(encoding="utf-8") as file:
        if fcntl is not None:
            with suppress(OSError):  # not every file system has it
                fcntl.flock(file, fcntl.LOCK_EX)  # of the file that will be replaced: who waits for it sees that
        if os.fstat(file.fileno()).st_ino != lock.stat().st_ino or owner(lock.parent) != stale:
            return False
        os.replace(_temporary(lock, mine), lock)
        return True
    return False


def _lives(directory: Path, other: Owner, listen: Listener, heartbeat: Heartbeat) -> bool:
    """Return whether the owner of a lock lives; of one on another machine, once its heart beats or has not for long.

    The wait is measured by a clock that never jumps; the age of the last beat can only shorten it.
    """
    if other.is_here:
        return other.process_lives
    lock = directory / LOCK
    first, silent = _pulse(lock), _silence(lock)
    end = monotonic() + max(heartbeat.stale - silent, _N_BEATS * heartbeat.every)
    listen(Notice(f"the directory is locked by {other}: checking whether that run is alive"))
    while monotonic() < end:
        sleep(heartbeat.look)
        if _pulse(lock) != first:
            return owner(directory) is not None
    return False


def _read(lock: Any) -> str:
    """Return the text of a lock; of an object by one request: between two, a heartbeat would replace it."""
    content: bytes = read_file(lock) if isinstance(lock, Path) else lock.fs.cat_file(lock.path)
    return content.decode()


def _pulse(lock: Any) -> object:
    """Return the fields that change with each heartbeat."""
    with suppress(FileNotFoundError):
        return lock.stat().st_mtime_ns if isinstance(lock, Path) else _read(lock)
    return None


def _silence(lock: Path) -> float:
    """Return the seconds since the last heartbeat by the clock of the file system; 0 where it has none."""
    if not isinstance(lock, Path):
        return 0.0
    probe = lock.with_name(f"{LOCK}.{uuid4().hex[:8]}.tmp")
    try:
        probe.write_bytes(b"")
        return max(probe.stat().st_mtime - lock.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _beat(directory: Path, mine: Owner, every: float, stopped: Event) -> None:
    count = 0
    while not stopped.wait(every):
        try:
            if owner(directory) == mine:
                count += 1
                _show_life(directory / LOCK, mine, count)
        except Exception:  # a store that fails for a while
            _LOGGER.debug("the lock of %s was not renewed", directory, exc_info=True)


def _show_life(lock: Path, mine: Owner, count: int) -> None:
    if isinstance(lock, Path):
        os.utime(lock)
    else:
        lock.write_text(_text(mine, beat=count), encoding="utf-8")


def _temporary(lock: Path, mine: Owner) -> Path:
    path = lock.with_name(f"{LOCK}.{uuid4().hex[:8]}.tmp")
    write_first(path, _text(mine).encode())
    return path


def _text(mine: Owner, **more: int) -> str:
    return json.dumps({**asdict(mine), **more})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return f"user {os.getuid()}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux: the number of a network card
        return f"{getnode():x}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
