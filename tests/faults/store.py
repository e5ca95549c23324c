"""A slow store behind HTTP: it knows which process reads a chunk, and can do something to it before it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import psutil

Action = Callable[["Read"], None]


@dataclass(frozen=True)
class Read:
    """The n-th read of a chunk, 1 for the first."""

    number: int
    chunk: str
    pid: int | None  # of the process that reads; None if it is gone


@dataclass
class Store:
    url: str = ""
    pace: float = 0.0  # seconds that a chunk takes
    n_reads: int = 0
    n_refused: int = 0
    is_there: bool = True  # or nothing is found
    refuses: Callable[[Read], bool] = lambda read: False
    refusal: int = 503  # the status of an answer that refuses
    actions: list[Action] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def on_read(self, number: int, action: Action) -> None:
        """Do something at the read of this number, before the chunk is served."""
        self.actions.append(lambda read: action(read) if read.number == number else None)

    def on_chunk(self, chunk: str, action: Action) -> None:
        """Do something at each read of this chunk."""
        self.actions.append(lambda read: action(read) if read.chunk == chunk else None)


def _owner(port: int, store: int) -> int | None:
    """Return the process that is connected from this port of loopback to the store's: others may have the same port."""
    connections = (one for one in psutil.net_connections("tcp4") if one.pid and one.raddr)
    return next((one.pid for one in connections if (one.laddr.port, one.raddr.port) == (port, store)), None)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, store: Store, **options: Any) -> None:
        self.store = store
        super().__init__(*args, **options)

    def send_head(self) -> Any:
        if not self.store.is_there:
            return self.send_error(404)
        _, is_chunk, chunk = self.path.rpartition("/c/")
        if self.command != "GET" or not is_chunk or Path(self.translate_path(self.path)).is_dir():  # a listing
            return super().send_head()
        store = self.store
        with store.lock:
            store.n_reads += 1
            read = Read(store.n_reads, chunk, self._reader() if store.actions else None)
        for action in store.actions:
            action(read)
        time.sleep(store.pace)
        if store.refuses(read):
            store.n_refused += 1
            return self.send_error(store.refusal)
        if not store.is_there:
            return self.send_error(404)
        return super().send_head()

    def _reader(self) -> int | None:
        return _owner(self.client_address[1], self.connection.getsockname()[1])

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked was killed."""


@contextmanager
def store_of(folder: Path, pace: float) -> Iterator[Store]:
    store = Store(pace=pace)
    server = _Server(("127.0.0.1", 0), partial(_Handler, store=store, directory=str(folder)))
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
