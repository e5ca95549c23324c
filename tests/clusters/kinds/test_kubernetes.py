"""Without Kubernetes: manifests are validated, and the client talks to an API on loopback whose pods are processes."""

import contextlib
import copy
import dataclasses
import re
import sys

import dask.array as da
import dask.config
import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Kubernetes
from daskgmm.clusters.kinds.kubernetes import dask_cluster
from daskgmm.concurrency import COMPUTE_THREADS
from daskgmm.config import parse_config
from daskgmm.errors import ClusterLostError, ConfigurationError

from ...manifests import dask_schema, errors
from ..kubernetes_server import kubeconfig, kubernetes_server

FULL = """
data: {path: /data/rows.zarr}
cluster:
  kind: kubernetes
  image: registry.example/daskgmm:0.1.0
  name: blue
  namespace: science
  n_workers: 4
  threads_per_worker: 2
  memory: 8GiB
  cpu: 2.5
  resources: {ephemeral-storage: 20Gi}
  scheduler_memory: 3GiB
  scheduler_cpu: 0.5
  env: {AWS_REGION: eu-central-1}
  env_from_secrets: [store-keys]
  image_pull_secrets: [registry-key]
  service_account: reader
  node_selector: {pool: large}
  tolerations: [{key: dedicated, value: science, effect: NoSchedule}, {key: spot, operator: Exists}]
  volumes: [{claim: rows, mount_path: /data, read_only: true}, {claim: runs, mount_path: /runs}]
  service_type: LoadBalancer
  start_timeout: 300
  stall_timeout: 200
"""


@pytest.fixture(scope="module")
def schema():
    pytest.importorskip("dask_kubernetes", reason="the schemas are in the package dask-kubernetes")
    return dask_schema("DaskCluster")


@pytest.fixture(scope="module")
def full():
    """Every field set, by its section of a configuration."""
    options = parse_config(FULL).cluster
    unset = [one.name for one in dataclasses.fields(Kubernetes) if getattr(options, one.name) == one.default]
    assert unset == ["kind"]
    return options


def containers(manifest):
    spec = manifest["spec"]
    return {part: spec[part]["spec"]["containers"][0] for part in ("scheduler", "worker")}


def test_manifests_are_what_the_operator_takes(schema, full):
    assert errors(dask_cluster(full, "blue", 2), schema) == []
    assert errors(dask_cluster(Kubernetes(image="daskgmm"), "one", 0), schema) == []


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ((), "specs"),
        (("spec",), "workers"),
        (("spec", "worker"), "replica"),
        (("spec", "worker", "spec"), "nodeSelectors"),
        (("spec", "worker", "spec", "containers", 0), "imagePullPolice"),
        (("spec", "scheduler", "spec", "containers", 0, "resources"), "limit"),
        (("spec", "scheduler", "service", "ports", 0), "ports"),
        (("spec", "worker", "spec", "tolerations", 0), "effects"),
    ],
)
def test_a_typo_in_a_manifest_is_caught(schema, full, path, key):
    manifest = copy.deepcopy(dask_cluster(full, "blue", 2))
    place = manifest
    for step in path:
        place = place[step]
    place[key] = "x"
    (error,) = errors(manifest, schema)
    assert f"'{key}' was unexpected" in error


def test_every_field_is_in_the_manifest(full):
    manifest = dask_cluster(full, "blue", 2)
    scheduler, worker = containers(manifest).values()
    assert manifest["metadata"] == {"name": "blue"}
    assert manifest["spec"]["worker"]["replicas"] == 4
    assert manifest["spec"]["scheduler"]["service"]["type"] == "LoadBalancer"
    amounts = {"cpu": "2.5", "memory": str(8 * 2**30), "ephemeral-storage": "20Gi"}
    assert worker["resources"] == {"requests": amounts, "limits": amounts}
    assert scheduler["resources"]["limits"] == {"cpu": "0.5", "memory": str(3 * 2**30)}
    for part in ("scheduler", "worker"):
        pod = manifest["spec"][part]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == "registry.example/daskgmm:0.1.0"
        assert {"name": "AWS_REGION", "value": "eu-central-1"} in container["env"]
        assert container["envFrom"] == [{"secretRef": {"name": "store-keys"}}]
        assert [(mount["mountPath"], mount["readOnly"]) for mount in container["volumeMounts"]] == [
            ("/data", True),
            ("/runs", False),
        ]
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == ["rows", "runs"]
        assert pod["serviceAccountName"] == "reader"
        assert pod["imagePullSecrets"] == [{"name": "registry-key"}]
        assert pod["nodeSelector"] == {"pool": "large"}
        assert pod["tolerations"] == [
            {"key": "dedicated", "operator": "Equal", "value": "science", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ]


def test_workers_have_threads_that_read_ahead_beside_those_that_compute(full):
    worker = containers(dask_cluster(full, "blue", 3))["worker"]
    assert worker["args"][worker["args"].index("--nthreads") + 1] == "5"
    environment = {one["name"]: one["value"] for one in worker["env"]}
    assert dask.config.collect_env(environment)["daskgmm"] == {"compute_threads": 2}
    assert (full.n_processes, full.compute_threads) == (4, 2)


def test_the_scheduler_lets_nothing_wait_for_workers_for_ever(full):
    scheduler = containers(dask_cluster(full, "blue", 3))["scheduler"]
    environment = {one["name"]: one["value"] for one in scheduler["env"]}
    configured = dask.config.collect_env(environment)
    assert dask.config.get("distributed.scheduler.no-workers-timeout", config=configured) == "300s"


def test_a_manifest_has_no_key_without_a_value():
    pod = dask_cluster(Kubernetes(image="daskgmm"), "one", 0)["spec"]["worker"]["spec"]
    assert set(pod) == {"containers"}
    assert not {"envFrom", "volumeMounts"} & set(pod["containers"][0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "cluster.image is missing"),
        (", image: a, name: Blue_Marble", "cluster.name should match pattern"),
        (", image: a, imagePullSecrets: [a]", "unknown key cluster.imagePullSecrets, did you mean image_pull_secrets?"),
        (", image: a, volumes: [{claim: a}]", "cluster.volumes.mount_path is missing"),
        (", image: a, service_type: Ingress", "cluster.service_type should be 'ClusterIP', 'NodePort'"),
    ],
)
def test_a_mistake_in_the_section_is_one_line(fields, message):
    with pytest.raises(ConfigurationError, match=r"\A[^\n]*\Z") as caught:
        parse_config(f"data: {{path: a}}\ncluster: {{kind: kubernetes{fields}}}")
    assert message in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("memory", "lots"), ("scheduler_memory", "10MiB")])
def test_a_memory_in_which_nothing_starts_is_refused(field, value):
    with (
        pytest.raises(ConfigurationError, match=rf"^cluster\.{field} '{value}' is "),
        Kubernetes(image="a", **{field: value}).connect(),
    ):
        pass


@pytest.fixture
def serve(schema, tmp_path, monkeypatch):
    """Start an API on loopback to which the configuration of kubectl leads."""
    with contextlib.ExitStack() as servers:

        def serve(starts_pods=True):
            state, path = servers.enter_context(kubernetes_server(tmp_path, starts_pods))
            monkeypatch.setenv("KUBECONFIG", str(path))
            return state

        yield serve


def loopback(**fields):
    return Kubernetes(image="daskgmm", name="test", memory="1GiB", service_type="LoadBalancer", **fields)


@pytest.mark.slow
def test_pods_compute_and_are_deleted_after_the_job(serve, schema):
    server = serve()
    with loopback(n_workers=2, threads_per_worker=2).connect() as connection:
        client = default_client()
        client.wait_for_workers(2, timeout=60)
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        (manifest,) = server.created
        name = manifest["metadata"]["name"]
        assert {one["name"] for one in workers} == {f"{name}-worker-0", f"{name}-worker-1"}
        assert {(one["nthreads"], one["memory_limit"]) for one in workers} == {(4, 2**30)}
        assert set(client.run(dask.config.get, COMPUTE_THREADS).values()) == {2}
        assert int(da.arange(10, chunks=2).sum().compute()) == 45
        assert connection.description == "2 Kubernetes workers with 2 threads each"
        assert connection.dashboard == f"http://127.0.0.1:{server.dashboard_port}/status"
    assert name.startswith("test-")
    assert server.deleted == [name]
    with pytest.raises(ValueError, match="No client"):
        default_client()


def test_pods_that_no_node_takes_are_given_up_and_deleted(serve):
    server = serve(starts_pods=False)
    with (
        pytest.raises(ClusterLostError, match=r"^the DaskCluster 'test-.*not ready within 2 s; look .*$"),
        loopback(start_timeout=2).connect(),
    ):
        pass
    assert len(server.deleted) == 1


@pytest.mark.slow
def test_a_cluster_that_may_not_be_deleted_is_told_with_the_command_that_does(serve):
    server = serve()
    server.refuses_deletion = True
    with loopback().connect() as connection:
        pass
    assert re.search(r"may still run .*: kubectl delete daskclusters test-", *connection.leftovers)
    assert server.deleted == []


def test_a_kubernetes_that_does_not_answer_is_told(schema, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, 1)))
    with (
        pytest.raises(ClusterLostError, match=r"\Athe DaskCluster .* did not start: [^\n]*kubectl[^\n]*\Z"),
        loopback().connect(),
    ):
        pass


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'daskgmm\[kubernetes\]'$"),
        Kubernetes(image="daskgmm").connect(),
    ):
        pass
