"""kind: gateway, against dask-gateway's server with its local backend and its own proxy."""

import importlib.util
import os
import signal
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Gateway, gateway
from daskgmm.clusters.kinds.gateway import PASSWORD
from daskgmm.config import parse_config
from daskgmm.errors import ClusterLostError, ConfigurationError

from ..processes import (
    accepts,
    answers,
    assert_all_end,
    assert_refused,
    assert_same_bits,
    fit,
    fitted,
    free_port,
    kill_a_client_of,
    marked,
    running,
    script,
    section,
    wait_until,
)

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("dask_gateway") is None,
    reason="there is no dask-gateway here: pip install daskgmm[gateway]",
)
needs_server = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("dask_gateway", "dask_gateway_server")),
    reason="there is no dask-gateway-server[local] here",
)

SETTINGS = """
from dask_gateway_server.options import Options, Float
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{api}"
c.SimpleAuthenticator.password = "open{{sesame}}"
c.Proxy.address = "127.0.0.1:{port}"
c.Proxy.tcp_address = "127.0.0.1:{proxy}"
c.UnsafeLocalBackend.clusters_directory = "{directory}/clusters"
c.Backend.cluster_heartbeat_period = 1
c.Backend.cluster_heartbeat_timeout = 30
c.Backend.cluster_options = Options(Float("worker_cores", default=1, min=1, max=2))
"""
# Stands in for the scripts of these names, which dask no longer has and dask-gateway still starts.
GONE_SCRIPTS = {"dask-scheduler": "scheduler", "dask-worker": "worker"}


@dataclass(frozen=True)
class Server:
    url: str
    proxy: int
    mark: str  # of what it starts
    pid: int

    def cluster(self, **options):
        ours = {"address": self.url, "proxy_address": self.proxy, "auth": "basic", "username": "ali-baba"}
        return Gateway(**{**ours, **options})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gateway")
    mark = f"by {directory}"
    for name, command in GONE_SCRIPTS.items():
        script(directory / name, mark, sys.executable, "-m", "dask", command)
    port, proxy, api = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = directory / "settings.py"
    settings.write_text(SETTINGS.format(port=port, proxy=proxy, api=api, directory=directory))
    path = {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dask_gateway_server", "-f", str(settings)]
    with running(command, str(directory), directory / "log", path) as process:
        wait_until(lambda: answers(f"{url}/api/health") and accepts(proxy), "the gateway")
        yield Server(url, proxy, mark, process.pid)


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv(PASSWORD, "open{sesame}")


@pytest.mark.slow
@needs_server
def test_a_cluster_is_started_and_stopped_with_the_block(server):
    with server.cluster(n_workers=2, cluster_options={"worker_cores": 2}).connect() as connection:
        client = default_client()
        client.wait_for_workers(2, timeout=60)
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert [one["nthreads"] for one in workers] == [2, 2]
        assert client.submit(os.getpid).result() != os.getpid()
        assert len(marked(server.mark)) >= 3
    assert connection.description == f"2 workers of the gateway at {server.url}"
    assert connection.dashboard.startswith(f"{server.url}/clusters/")
    assert not marked(server.mark)  # the block waits for their end
    assert not connection.leftovers
    with pytest.raises(ValueError, match="No client"):
        default_client()


@needs_server
@pytest.mark.slow
def test_an_error_within_stops_the_cluster(server):
    def fail():
        with server.cluster().connect():
            assert marked(server.mark)
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    assert_all_end(server.mark)


@needs_server
@pytest.mark.slow
def test_a_fit_gives_the_bits_of_threads(server, tmp_path, model_of_threads):
    assert_same_bits(fitted(tmp_path, section(server.cluster(n_workers=2))), model_of_threads)
    assert_all_end(server.mark)


@needs_server
def test_a_cluster_that_does_not_start_in_time_is_stopped(server):
    with pytest.raises(ClusterLostError, match=r"is PENDING, not running, within 0\.1 s"):
        server.cluster(start_timeout=0.1).connect().__enter__()
    assert_all_end(server.mark)


@needs_server
@pytest.mark.slow
def test_a_proxy_that_is_elsewhere_is_named(server):
    with pytest.raises(ClusterLostError, match=r"look whether cluster\.proxy_address is where"):
        server.cluster(proxy_address=free_port(), start_timeout=20).connect().__enter__()
    assert_all_end(server.mark)


@needs_server
def test_a_wrong_password_is_refused_in_one_line(server, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "open-barley")
    done = fit(tmp_path, section(server.cluster()))
    assert_refused(
        done,
        5,
        f"submit at the gateway {server.url}: refused with 401; look at cluster.auth, cluster.username and {PASSWORD}",
    )
    assert "barley" not in done.stderr


@needs_server
def test_options_that_the_server_does_not_offer_are_named(server):
    for options, message in [({"cores": 3}, "cores"), ({"worker_cores": 9}, "worker_cores")]:
        with pytest.raises(
            ConfigurationError, match=rf"does not take cluster\.cluster_options .*{message}.*: .*{message}"
        ):
            server.cluster(cluster_options=options).connect().__enter__()


@needs_client
def test_a_gateway_that_is_not_there_is_named_in_one_line(tmp_path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = fit(tmp_path, {"kind": "gateway", "address": nowhere})
    assert_refused(done, 5, f"submit at the gateway {nowhere}: ConnectionRefusedError")


@needs_client
def test_an_address_or_token_that_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match=r"kind: gateway with cluster\.address None: "):
        Gateway().connect().__enter__()
    with pytest.raises(ConfigurationError, match="JUPYTERHUB_API_TOKEN"):
        Gateway(address="http://h", auth="jupyterhub").connect().__enter__()


def test_it_says_what_it_asks_for():
    cluster = Gateway(n_workers=3, threads_per_worker=2)
    assert (cluster.n_processes, cluster.compute_threads) == (3, 2)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("{kind: gateway, auth: kerberus}", "cluster.auth should be 'basic', 'kerberos' or 'jupyterhub'"),
        ("{kind: gateway, password: x}", "unknown key cluster.password"),
        ("{kind: gateway, username: x}", "cluster.username 'x' is used with cluster.auth: basic only"),
        ("{kind: gateway, n_workers: 0}", "cluster.n_workers should be greater than or equal to 1"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(cluster, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(f"data: {{path: x}}\ncluster: {cluster}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_client
def test_what_to_tell_of_a_cluster_that_cannot_be_stopped():
    (message,) = Gateway(address="http://127.0.0.1:9")._stop("team.1")
    assert message.startswith("cluster team.1 may still run: stop_cluster at the gateway http://127.0.0.1:9: ")
    assert message.endswith("; stop it at the gateway")


@needs_client
def test_a_cluster_that_stays_while_it_is_stopped_is_reported(monkeypatch):
    class Stopping:
        def __init__(self, *_, **__): ...
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_): ...
        async def stop_cluster(self, name):
            self.stopped = name

        async def list_clusters(self, status):
            return [SimpleNamespace(name="team.1")] if "stopping" in status else []

    monkeypatch.setattr("dask_gateway.Gateway", Stopping)
    monkeypatch.setattr(gateway, "_END_TIMEOUT", 0.02)
    monkeypatch.setattr(gateway, "_INTERVAL", 0.01)
    told = "cluster team.1 may still run: its processes have not ended within 0.02 s; stop it at the gateway"
    assert Gateway(address="http://h")._stop("team.1") == [told]
    assert Gateway(address="http://h")._stop("team.2") == []


@needs_server
@pytest.mark.slow
def test_what_a_killed_client_has_started_ends_by_itself(server, tmp_path):
    kill_a_client_of(section(server.cluster()), tmp_path)
    assert marked(server.mark)
    assert_all_end(server.mark)


@needs_server
@pytest.mark.slow
def test_a_gateway_that_hangs_at_the_end_is_given_up_and_told(server):
    begin = time.monotonic()
    try:
        with server.cluster().connect() as connection:
            os.kill(server.pid, signal.SIGSTOP)
            begin = time.monotonic()
        assert time.monotonic() - begin < 45
    finally:
        os.kill(server.pid, signal.SIGCONT)
    (message,) = connection.leftovers
    assert "may still run: stop_cluster at the gateway" in message
    assert_all_end(server.mark)  # the scheduler ends without its client
