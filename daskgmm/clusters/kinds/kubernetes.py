"""kind: kubernetes - a scheduler and workers in pods, which the Dask operator of Kubernetes starts and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

import dask
from annotated_types import Ge, Gt
from pydantic import StringConstraints

from ...concurrency import READ_AHEAD, n_reading_ahead
from ...options import STRICT, parse_size
from ...text import describe_workers
from ..connection import STALL_TIMEOUT, Connection, StallTimeout, StartTimeout, await_workers, client_of, worker_ttl
from ..memory_size import Memory, check_memory
from .dask_operator import dask_cluster_running

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=44)]
_SCHEDULER_PORT, _DASHBOARD_PORT, _WORKER_DASHBOARD_PORT = 8786, 8787, 8788
_HEALTH = {"httpGet": {"path": "/health", "port": "http-dashboard"}}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim that is mounted into every pod."""

    __pydantic_config__: ClassVar = STRICT

    claim: str
    """Name of the claim; for more than one node it needs the access mode ReadWriteMany, or ReadOnlyMany."""
    mount_path: str
    """Where the pods see it, such as /data."""
    read_only: bool = False
    """Mount it for reading only."""


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint of nodes that does not keep the pods away."""

    __pydantic_config__: ClassVar = STRICT

    key: str
    """Key of the taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Exists tolerates every value."""
    value: str | None = None
    """Value of the taint, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect if left out."""


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """A DaskCluster of the Dask operator, made for the job and deleted after it; the place is that of kubectl."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["kubernetes"] = "kubernetes"
    image: str
    """Image of scheduler and workers; it holds the same versions of daskgmm and dask as this process."""
    name: Name = "daskgmm"
    """How the name of the DaskCluster begins; a random end makes it the job's own."""
    namespace: str | None = None
    """Namespace of the pods; the current one if left out."""
    n_workers: Annotated[int, Ge(1)] = 2
    """Number of worker pods."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads of each worker that compute; they share its memory. compute.read_ahead adds others, which read."""
    memory: Memory = "4GiB"
    """Memory of each worker, requested and as its limit."""
    cpu: Annotated[float, Gt(0)] | None = None
    """Cores of each worker, requested and as its limit; as many as threads that compute if left out."""
    resources: dict[str, str] = field(default_factory=dict)
    """Further resources of each worker, such as {ephemeral-storage: 20Gi} to spill to; requests and limits."""
    scheduler_memory: Memory = "2GiB"
    """Memory of the scheduler."""
    scheduler_cpu: Annotated[float, Gt(0)] = 1.0
    """Cores of the scheduler."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment of scheduler and workers; it is written to the run directory, so secrets go to env_from_secrets."""
    env_from_secrets: tuple[str, ...] = ()
    """Names of Secrets whose keys are environment variables of scheduler and workers."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets for a registry that is not public."""
    service_account: str | None = None
    """Service account of the pods, such as one that may read a bucket."""
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels of the nodes on which the pods run."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that the pods tolerate."""
    volumes: tuple[Claim, ...] = ()
    """Volumes of all pods; this process needs to see the same files at the same paths."""
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """How the scheduler is reached: ClusterIP is forwarded where this process runs outside of the cluster."""
    start_timeout: StartTimeout = 600.0
    """Seconds to wait for the scheduler and then for the first worker: nodes may have to start, and images to come."""
    stall_timeout: StallTimeout = STALL_TIMEOUT
    """Seconds without a completed task after which lost workers are replaced; after as many again the job stops."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for memory in which no scheduler or worker can start."""
        check_memory(self.memory)
        check_memory(self.scheduler_memory, "cluster.scheduler_memory")

    @property
    def n_processes(self) -> int:
        """Worker pods."""
        return self.n_workers

    @property
    def compute_threads(self) -> int:
        """Threads of each worker that compute."""
        return self.threads_per_worker

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Have the operator start the pods, make them the active scheduler, and delete them at the end."""
        n_ahead = n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), self.threads_per_worker)
        manifest = dask_cluster(self, f"{self.name}-{uuid4().hex[:8]}", n_ahead)
        description = describe_workers(self.n_workers, "Kubernetes worker", self.threads_per_worker)
        leftovers: list[str] = []
        with (
            dask_cluster_running(manifest, self.namespace, self.start_timeout, leftovers) as cluster,
            await_workers(
                client_of(cluster), self, description, rescale=partial(cluster.scale, self.n_workers)
            ) as connection,
        ):
            yield replace(connection, leftovers=leftovers)


def dask_cluster(options: Kubernetes, name: str, n_ahead: int) -> dict[str, Any]:
    """Return the manifest of a DaskCluster whose workers have n_ahead threads that read beside those that compute."""
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {
            "scheduler": {"spec": _pod(options, _scheduler(options)), "service": _service(options, name)},
            "worker": {"replicas": options.n_workers, "spec": _pod(options, _worker(options, n_ahead))},
        },
    }


def _scheduler(options: Kubernetes) -> dict[str, Any]:
    return {
        "name": "scheduler",
        "args": ["dask", "scheduler", "--host", "0.0.0.0"],  # noqa: S104 # of a pod, not of this machine
        "env": _env(
            {
                **options.env,
                "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": f"{options.start_timeout:g}s",
                "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": worker_ttl(options.stall_timeout),
            }
        ),
        "resources": _resources(options.scheduler_memory, options.scheduler_cpu, {}),
        "ports": [
            {"name": "tcp-comm", "containerPort": _SCHEDULER_PORT, "protocol": "TCP"},
            {"name": "http-dashboard", "containerPort": _DASHBOARD_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {**_HEALTH, "periodSeconds": 2, "timeoutSeconds": 30},
        "livenessProbe": {**_HEALTH, "initialDelaySeconds": 30, "periodSeconds": 20, "timeoutSeconds": 30},
    }


def _worker(options: Kubernetes, n_ahead: int) -> dict[str, Any]:
    n_threads = options.threads_per_worker + n_ahead
    limit = parse_size(options.memory)
    return {
        "name": "worker",
        "args": [
            *("dask", "worker", "--name", "$(DASK_WORKER_NAME)"),  # the operator sets it, and the scheduler's address
            *("--nthreads", str(n_threads), "--memory-limit", str(limit)),
            *("--dashboard-address", str(_WORKER_DASHBOARD_PORT)),
        ],
        "env": _env({**options.env, "DASK_DASKGMM__COMPUTE_THREADS": str(options.threads_per_worker)}),
        "resources": _resources(options.memory, options.cpu or options.threads_per_worker, options.resources),
        "ports": [{"name": "http-dashboard", "containerPort": _WORKER_DASHBOARD_PORT, "protocol": "TCP"}],
    }


def _pod(options: Kubernetes, container: dict[str, Any]) -> dict[str, Any]:
    """Return the pod of a container, with what both kinds of pods share."""
    names = [f"volume-{number}" for number in range(len(options.volumes))]
    shared = {
        "image": options.image,
        "envFrom": [{"secretRef": {"name": secret}} for secret in options.env_from_secrets],
        "volumeMounts": [
            {"name": name, "mountPath": volume.mount_path, "readOnly": volume.read_only}
            for name, volume in zip(names, options.volumes, strict=True)
        ],
    }
    pod = {
        "containers": [container | _drop_empty(shared)],
        "serviceAccountName": options.service_account,
        "imagePullSecrets": [{"name": secret} for secret in options.image_pull_secrets],
        "nodeSelector": options.node_selector,
        "tolerations": [_drop_empty(vars(toleration)) for toleration in options.tolerations],
        "volumes": [
            {"name": name, "persistentVolumeClaim": {"claimName": volume.claim, "readOnly": volume.read_only}}
            for name, volume in zip(names, options.volumes, strict=True)
        ],
    }
    return _drop_empty(pod)


def _service(options: Kubernetes, name: str) -> dict[str, Any]:
    return {
        "type": options.service_type,
        "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
        "ports": [
            {"name": "tcp-comm", "protocol": "TCP", "port": _SCHEDULER_PORT, "targetPort": "tcp-comm"},
            {"name": "http-dashboard", "protocol": "TCP", "port": _DASHBOARD_PORT, "targetPort": "http-dashboard"},
        ],
    }


def _resources(memory: int | str, cpu: float, others: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return requests that are the limits: such pods are the last that a node under pressure evicts."""
    amounts = {"cpu": f"{cpu:g}", "memory": str(parse_size(memory)), **others}
    return {"requests": amounts, "limits": dict(amounts)}


def _env(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _drop_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say anything."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}
