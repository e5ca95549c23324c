"""Servers on loopback that tests read from: S3, and HTTP that refuses requests when told to."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Bucket:
    """A bucket by its URL, and what fsspec needs to reach it."""

    url: str
    storage_options: dict[str, Any]


@contextmanager
def s3_server() -> Iterator[Bucket]:
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        place = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
        client = boto3.client("s3", aws_access_key_id="testing", aws_secret_access_key="testing", **place)
        client.create_bucket(Bucket="rows")
        client.close()
        yield Bucket("s3://rows", {"key": "testing-key", "secret": "testing-secret", "client_kwargs": place})
    finally:
        server.stop()


@dataclass
class Web:
    """A directory behind HTTP: `refusals` are the statuses of the next answers, `always` that of all after them."""

    url: str
    refusals: list[int] = field(default_factory=list)
    always: int | None = None
    n_refused: int = 0


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, web: Web, **options: Any) -> None:
        self.web = web
        super().__init__(*args, **options)

    def send_head(self) -> Any:
        refusal = self.web.refusals.pop(0) if self.web.refusals else self.web.always
        if refusal is None:
            return self._send_range() if "Range" in self.headers else super().send_head()
        self.web.n_refused += 1
        self.send_error(refusal)
        return None

    def _send_range(self) -> Any:
        """Answer with the bytes [first, last] that are asked for, as object stores do."""
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            return super().send_head()
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        size = file.stat().st_size
        content = file.read_bytes()[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{size}")
        self.end_headers()
        return io.BytesIO(content)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def web_server(root: Path) -> Iterator[Web]:
    web = Web("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, web=web, directory=str(root)))
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
