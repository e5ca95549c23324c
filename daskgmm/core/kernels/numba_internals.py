"""What compiled kernels and their cache need of numba that is not documented: all of it is here, with a test.

Numba's own files are not used. They count as new while the file of the function itself is unchanged, though functions
of other files are compiled into it; two processes that save at once can leave the code of one under the signature of
the other; and a file that is damaged, or names a class that is no more, ends the program.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

NO_REFERENCES = {"_nrt": False}  # an option of njit: references to arrays are not counted, and none can be made

_LOGGER = logging.getLogger(__name__)


def keep_code(function: Any) -> None:
    """Let what is compiled of a function be kept in files, and be read by later processes of the same source.

    Where no folder can be written, each process compiles anew.
    """
    if not isinstance(function, Dispatcher):  # NUMBA_DISABLE_JIT: a function of Python
        return
    dispatcher: Any = function
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError as error:
        _LOGGER.warning("kernels are compiled in each process, set NUMBA_CACHE_DIR to keep them: %s", error)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """The code of one function, found by its signature and the processor."""

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        self._cache_file = CodeFiles(Path(self._cache_path), self._impl.filename_base, source_digest())

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if there is room for it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _LOGGER.warning("a kernel is not kept, and later processes compile it anew: %s", error)


@dataclass(frozen=True)
class CodeFiles:
    """Compiled code in one file for each signature; a file that is damaged or of another source counts as none."""

    folder: Path
    name: str  # of the function
    source: bytes  # digest

    def load(self, key: object) -> Any | None:
        """Return the code of a signature, or None."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != self._digest(key, code):
            return None
        return pickle.loads(code)  # noqa: S301 -- numba's form, in a folder of code that is run anyway

    def save(self, key: object, compiled: object) -> None:
        """Write the code of a signature, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        code, path = dumps(compiled), self._path(key)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            unfinished.write_bytes(self._digest(key, code) + code)
            os.replace(unfinished, path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def _path(self, key: object) -> Path:
        return self.folder / f"{self.name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.kernel"

    def _digest(self, key: object, code: bytes) -> bytes:
        parts = (self.source, repr(key).encode(), code)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


_DIGEST_BYTES = hashlib.sha256().digest_size


@cache
def source_digest() -> bytes:
    """Return a digest of numba's version and of the source of all kernels, since each is compiled into others."""
    modules = sorted((one.name, one.read_bytes()) for one in files(__package__).iterdir() if one.name.endswith(".py"))
    return hashlib.sha256(repr((numba.__version__, modules)).encode()).digest()
