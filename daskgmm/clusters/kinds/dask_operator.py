"""A DaskCluster of the Dask operator for Kubernetes, for as long as it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import ClusterLostError, ConfigurationError
from ..dask_internals import event_loop, is_running, leave_at_exit, run_in_loop

_LOGGER = logging.getLogger(__name__)

_CLOSE_TIMEOUT = 60.0  # seconds to wait until the pods are gone; the operator goes on without us


@contextmanager
def dask_cluster_running(
    manifest: dict[str, Any], namespace: str | None, start_timeout: float, leftovers: list[str]
) -> Iterator[Any]:
    """Give the KubeCluster of the manifest once its scheduler answers, and delete it at the end.

    One that can't be deleted is added to leftovers, in words.

    Raise ClusterLostError where that takes longer than start_timeout, seconds: KubeCluster itself would wait for ever
    for a pod that no node takes.
    """
    with event_loop() as loop:
        cluster = run_in_loop(loop, _make, manifest, namespace, start_timeout, loop)
        try:
            _start(cluster, start_timeout)
            yield cluster
        finally:
            leftovers += _close(cluster)


async def _make(manifest: dict[str, Any], namespace: str | None, start_timeout: float, loop: Any) -> Any:
    """Return the KubeCluster before it has done anything: made inside of the loop, it does not start by itself."""
    try:
        from dask_kubernetes.operator import KubeCluster
        from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode
    except ImportError:
        raise ConfigurationError(
            "cluster.kind kubernetes needs the package dask-kubernetes: pip install 'daskgmm[kubernetes]'"
        ) from None
    return KubeCluster(
        custom_cluster_spec=manifest,  # its own still calls scripts that dask no longer has
        namespace=namespace,
        create_mode=CreateMode.CREATE_ONLY,  # never takes over, and then deletes, what another has made
        resource_timeout=start_timeout,
        loop=loop,
        quiet=True,
    )


def _start(cluster: Any, start_timeout: float) -> None:
    async def start() -> None:
        await asyncio.wait_for(cluster, start_timeout)

    try:
        run_in_loop(cluster.loop, start)
    except Exception as error:  # of httpx, kr8s, dask-kubernetes, asyncio
        reason = " ".join(str(error).split()).rstrip(".") or f"its scheduler was not ready within {start_timeout:g} s"
        raise ClusterLostError(
            f"the DaskCluster {cluster.name!r} did not start: {reason}; look whether kubectl reaches it, whether "
            "the Dask operator runs there, what `kubectl describe pods` says, or raise cluster.start_timeout"
        ) from error


def _close(cluster: Any) -> list[str]:
    """Delete the cluster and all its pods, if any were made; return what to tell of one that ran, and may still do."""
    ran, left = is_running(cluster), []
    try:
        cluster.close(timeout=_CLOSE_TIMEOUT)
    except Exception as error:
        _LOGGER.debug("%s was not deleted", cluster.name, exc_info=True)
        if ran:
            left = [f"{cluster.name} may still run ({error}): kubectl delete daskclusters {cluster.name}"]
    leave_at_exit(cluster)
    return left
