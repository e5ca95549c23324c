"""kind: gateway - a cluster that a dask-gateway server starts, and stops at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import dask
from annotated_types import Ge
from distributed import Client

from ...errors import ClusterLostError, ConfigurationError
from ...options import STRICT
from ..connection import (
    STALL_TIMEOUT,
    Connection,
    StallTimeout,
    StartTimeout,
    await_workers,
    client_of,
    connect_timeout,
    end_when_abandoned,
    reason,
    run_coroutine,
)

_LOGGER = logging.getLogger(__name__)

PASSWORD = "DASKGMM_GATEWAY_PASSWORD"  # noqa: S105 # the name of a variable
_REFUSED_CODES = {401, 403}  # of HTTP
_ANSWER_TIMEOUT = 60.0  # seconds; a cluster whose name does not come back can't be stopped
_STOP_TIMEOUT = 15.0  # seconds; the results are complete, and wait for it
_END_TIMEOUT = 30.0  # seconds in which processes end; the gateway's local backend takes 10 with those that hang
_INTERVAL = 0.5  # seconds between two looks at the state of the cluster
_ACTIVE_STATES = ("pending", "running", "stopping")


@dataclass(frozen=True)
class Gateway:
    """A cluster of dask-gateway; it ends with the job. Its scheduler and workers are as the server starts them."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["gateway"] = "gateway"
    address: str | None = None
    """The server, such as https://gateway.example.org; that of dask's own configuration if left out."""
    proxy_address: int | str | None = None
    """Where the server's proxy takes dask's own traffic: an address, or its port at the server; the server if null."""
    auth: Literal["basic", "kerberos", "jupyterhub"] | None = None
    """How to log in: basic takes the password from DASKGMM_GATEWAY_PASSWORD in the environment, jupyterhub the token
    from JUPYTERHUB_API_TOKEN; null: as dask's own configuration says."""
    username: str | None = None
    """Name to log in with by auth: basic; that of the account here if left out."""
    cluster_options: dict[str, Any] = field(default_factory=dict)
    """Options of a cluster that the server offers, such as worker_cores or image."""
    n_workers: Annotated[int, Ge(1)] = 1
    """Workers to ask for; the job begins with the first."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads that the server gives each worker; --dry-run computes the memory from them."""
    start_timeout: StartTimeout = 60.0
    """Seconds to wait for the scheduler, and then for the first worker."""
    stall_timeout: StallTimeout = STALL_TIMEOUT
    """Seconds without a completed task after which lost workers are replaced; after as many again the job stops."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a name that nothing would use."""
        if self.username is not None and self.auth != "basic":
            raise ConfigurationError(f"cluster.username {self.username!r} is used with cluster.auth: basic only")

    @property
    def n_processes(self) -> int:
        """Worker processes that it asks for."""
        return self.n_workers

    @property
    def compute_threads(self) -> int:
        """Threads of each worker."""
        return self.threads_per_worker

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Have the server start a cluster, make it the active scheduler, and have it stopped at the end."""
        description = f"{self.n_workers} workers of the gateway at {self._where}"
        leftovers: list[str] = []
        with (
            self._cluster(leftovers) as report,
            await_workers(
                self._client(report), self, description, rescale=partial(self._scale, report.name)
            ) as connection,
        ):
            yield replace(connection, dashboard=report.dashboard_link, leftovers=leftovers)

    @property
    def _where(self) -> str:
        return str(self.address or dask.config.get("gateway.address", None))

    @contextmanager
    def _cluster(self, leftovers: list[str]) -> Iterator[Any]:
        """Hold a cluster, by its report; it is stopped at the end, or as soon as it does not start in time.

        One that can't be stopped is added to leftovers, in words.
        """
        name = self._submit()
        try:
            report = self._report_of_running(name)
            self._scale(name)
            yield report
        finally:
            leftovers += self._stop(name)

    def _stop(self, name: str) -> list[str]:
        """Have the cluster stopped, and wait for its end; return what to report if that fails: the job is complete."""
        try:
            self._ask("stop_cluster", name, timeout=_STOP_TIMEOUT)
            self._wait_for_end(name)
        except Exception as error:
            _LOGGER.debug("cluster %s was not stopped", name, exc_info=True)
            return [f"cluster {name} may still run: {error}; stop it at the gateway"]
        return []

    def _wait_for_end(self, name: str) -> None:
        """Wait until the gateway lists the cluster as ended; raise ClusterLostError after _END_TIMEOUT seconds."""
        end = time.monotonic() + _END_TIMEOUT
        while name in self._names_not_ended():
            if time.monotonic() > end:
                raise ClusterLostError(f"its processes have not ended within {_END_TIMEOUT:g} s")
            time.sleep(_INTERVAL)

    def _names_not_ended(self) -> list[str]:
        return [report.name for report in self._ask("list_clusters", status=_ACTIVE_STATES, timeout=_STOP_TIMEOUT)]

    def _scale(self, name: str) -> None:
        self._ask("scale_cluster", name, self.n_workers)

    def _submit(self) -> str:
        try:
            return str(self._ask("submit", **self.cluster_options))
        except ConfigurationError:
            raise
        except ImportError as error:
            raise ConfigurationError(f"cluster.auth {self.auth!r} needs a package: {error}") from None
        except ValueError as error:
            raise ConfigurationError(
                f"the gateway at {self._where} does not take cluster.cluster_options {self.cluster_options}: {error}"
            ) from None

    def _report_of_running(self, name: str) -> Any:
        end = time.monotonic() + self.start_timeout
        while (report := self._ask("get_cluster", name)).status.name != "RUNNING":
            if report.status.name != "PENDING" or time.monotonic() > end:
                raise ClusterLostError(
                    f"cluster {name} of the gateway at {self._where} is {report.status.name}, not running, within "
                    f"{self.start_timeout:g} s; look at the server's logs, or raise cluster.start_timeout"
                )
            time.sleep(_INTERVAL)
        return report

    def _client(self, report: Any) -> Client:
        timeout = connect_timeout(self.start_timeout)
        try:
            client = client_of(report.scheduler_address, security=report.security, timeout=timeout)
        except OSError as error:
            raise ClusterLostError(
                f"no connection to the scheduler at {report.scheduler_address}: {reason(error)}; look whether "
                "cluster.proxy_address is where the gateway takes dask's traffic"
            ) from None
        end_when_abandoned(client)
        return client

    def _ask(self, method: str, *arguments: Any, timeout: float = _ANSWER_TIMEOUT, **options: Any) -> Any:
        """Return the server's answer. dask-gateway's own GatewayCluster waits for ever, and can't be closed quietly."""
        gateway = _dask_gateway()

        async def ask() -> Any:
            async with self._server(gateway) as server:
                return await getattr(server, method)(*arguments, **options)

        async def ask_in_time() -> Any:
            return await asyncio.wait_for(ask(), timeout)

        try:
            return run_coroutine(ask_in_time())
        except (ImportError, ValueError):  # of the configuration
            raise
        except Exception as error:  # those of the server, of HTTP and of the network have no base in common
            raise ClusterLostError(f"{method} at the gateway {self._where}: {_explain(error)}") from None

    def _server(self, gateway: Any) -> Any:
        auth: Any = self.auth
        if auth == "basic":
            auth = gateway.BasicAuth(self.username, os.environ.get(PASSWORD))
        try:
            return gateway.Gateway(self.address, proxy_address=self.proxy_address, auth=auth, asynchronous=True)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"kind: gateway with cluster.address {self.address!r}: {error}") from None


def _explain(error: Exception) -> str:
    """Return the reason, with the remedy where the server did not let in."""
    status = getattr(error, "status", None)
    if status in _REFUSED_CODES:
        return f"refused with {status}; look at cluster.auth, cluster.username and {PASSWORD}"
    return reason(error)


def _dask_gateway() -> Any:
    try:
        import dask_gateway
    except ImportError:
        raise ConfigurationError("kind: gateway needs dask-gateway: pip install 'daskgmm[gateway]'") from None
    return dask_gateway
