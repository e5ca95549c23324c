"""kind: threads - the threads of this process share the rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from dask.system import CPU_COUNT

from ...concurrency import Execution, execute_in
from ...options import STRICT
from ...text import pluralize
from ..connection import Connection


@dataclass(frozen=True)
class Threads:
    """Threads of this process."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["threads"] = "threads"
    n_workers: Annotated[int, Ge(1)] | None = None
    """Number of threads; all the cores that this process may use if left out."""

    @property
    def n_processes(self) -> int:
        return 1

    @property
    def compute_threads(self) -> int:
        """Threads that compute."""
        return self.n_workers or CPU_COUNT

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Compute on threads of this process what this thread computes."""
        with execute_in(Execution("threads", self.compute_threads)):
            yield Connection(f"{pluralize(self.compute_threads, 'thread')} of this process")
