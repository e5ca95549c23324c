"""kind: address - a cluster that runs already, by the address of its scheduler or by its scheduler file."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from distributed import Client
from distributed.comm import connect
from distributed.security import Security

from ...errors import ClusterLostError, ConfigurationError
from ...options import STRICT, TextPattern
from ..connection import (
    STALL_TIMEOUT,
    Connection,
    StallTimeout,
    StartTimeout,
    await_workers,
    client_of,
    connect_timeout,
    reason,
    run_coroutine,
)

_SCHEMES = ("tcp://", "tls://")


@dataclass(frozen=True)
class Tls:
    """The client's files of TLS, in PEM format."""

    __pydantic_config__: ClassVar = STRICT

    ca_file: str
    """Certificate of the authority that signed the scheduler's certificate."""
    cert_file: str
    """The client's certificate."""
    key_file: str | None = None
    """The client's private key; cert_file holds it if left out."""

    def security(self) -> Security:
        """Return the client's TLS options; raise ConfigurationError if a file is missing or is not a certificate."""
        security = Security(
            require_encryption=True,
            tls_ca_file=self.ca_file,
            tls_client_cert=self.cert_file,
            tls_client_key=self.key_file,
        )
        for key, path in [("ca_file", self.ca_file), ("cert_file", self.cert_file), ("key_file", self.key_file)]:
            if path is not None and not Path(path).is_file():
                raise ConfigurationError(f"cluster.tls.{key} {path!r} is not a file")
        try:
            security.get_connection_args("client")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"cluster.tls: {self.ca_file!r}, {self.cert_file!r} and {self.key_file or self.cert_file!r} are not a "
                f"CA certificate, a certificate and its key in PEM format: {error}"
            ) from None
        return security


@dataclass(frozen=True)
class Address:
    """A scheduler that others started, and that is left running."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["address"] = "address"
    address: Annotated[str, TextPattern(r"^(tcp|tls)://.+:[0-9]+$")] | None = None
    """Where the scheduler listens, such as tcp://host:8786 or tls://host:8786."""
    scheduler_file: str | None = None
    """The file that `dask scheduler --scheduler-file` wrote, instead of the address."""
    tls: Tls | None = None
    """Files of a tls:// scheduler; those of dask's own configuration if left out."""
    n_workers: Annotated[int, Ge(1)] = 1
    """Workers to wait for before the job begins; it uses all that are there."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads that each worker was started with; --dry-run computes the memory from them."""
    start_timeout: StartTimeout = 60.0
    """Seconds to wait for the workers; for the scheduler, at most 10 of them."""
    stall_timeout: StallTimeout = STALL_TIMEOUT
    """Seconds without a completed task after which silent workers are restarted; the job stops after as many again."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError unless there is one address, by itself or in a file, that agrees with tls."""
        if (self.address is None) == (self.scheduler_file is None):
            raise ConfigurationError("kind: address takes either address, as in tcp://host:8786, or scheduler_file")
        if self.address is not None:
            _check_address(self.address, self.tls, "cluster.address")

    @property
    def n_processes(self) -> int:
        """Worker processes that it waits for."""
        return self.n_workers

    @property
    def compute_threads(self) -> int:
        """Threads of each worker."""
        return self.threads_per_worker

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Connect a client, and close it at the end: the cluster goes on."""
        address = self._resolve_address()
        description = f"workers of the scheduler at {address}"
        with await_workers(self._client(address), self, description, self.n_workers, own=False) as connection:
            yield connection

    def _client(self, address: str) -> Client:
        security, timeout = self._security(address), connect_timeout(self.start_timeout)
        try:
            _try(address, timeout, security)
            return client_of(address, timeout=timeout, security=security)
        except (OSError, ValueError) as error:  # tornado's ValueError: it was spoken to before it could encrypt
            trusts = "trusts the certificate of cluster.tls" if self.tls else "can be reached from here"
            raise ClusterLostError(
                f"no connection to the scheduler at {address}: {reason(error)}; look whether it runs and {trusts}"
            ) from None

    def _resolve_address(self) -> str:
        if self.address is not None:
            return self.address
        address = _read_scheduler_file(str(self.scheduler_file))
        _check_address(address, self.tls, f"the address in cluster.scheduler_file {self.scheduler_file!r}")
        return address

    def _security(self, address: str) -> Security:
        security = self.tls.security() if self.tls else Security()
        if address.startswith("tls://") and not security.get_connection_args("client").get("ssl_context"):
            raise ConfigurationError(
                f"the scheduler at {address} wants certificates: give cluster.tls with ca_file, cert_file and key_file"
            )
        return security


def _try(address: str, timeout: float, security: Security) -> None:
    """Connect and hang up; raise OSError or ValueError. A Client that fails may stay behind as the default one."""

    async def call() -> None:
        comm = await connect(address, timeout=timeout, **security.get_connection_args("client"))
        await comm.close()

    run_coroutine(call())


def _check_address(address: str, tls: Tls | None, name: str) -> None:
    scheme = next((scheme for scheme in _SCHEMES if address.startswith(scheme)), None)
    host, _, port = address.removeprefix(scheme or "").rpartition(":")
    if scheme is None or not host or not port.isdecimal():
        raise ConfigurationError(f"{name} {address!r} is not of the form tcp://host:8786 or tls://host:8786")
    if tls and scheme == "tcp://":
        raise ConfigurationError(f"{name} {address!r} is not encrypted: with cluster.tls it begins with tls://")


def _read_scheduler_file(path: str) -> str:
    try:
        return str(json.loads(Path(path).read_text(encoding="utf-8"))["address"])
    except OSError as error:
        raise ConfigurationError(
            f"cannot read cluster.scheduler_file {path!r}: {error.strerror}; dask scheduler --scheduler-file writes it"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"cluster.scheduler_file {path!r} is not one that dask scheduler --scheduler-file wrote"
        ) from None
