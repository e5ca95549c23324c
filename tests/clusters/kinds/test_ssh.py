"""kind: ssh, against an sshd on loopback with keys of the test."""

import getpass
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import dask
import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Ssh
from daskgmm.concurrency import COMPUTE_THREADS, READ_AHEAD
from daskgmm.config import parse_config
from daskgmm.errors import ClusterLostError, ConfigurationError

from ..processes import (
    accepts,
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

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(find_spec("asyncssh") is None, reason="needs the package asyncssh")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="there is no sshd here: apt-get install openssh-server")


@dataclass(frozen=True)
class Server:
    port: int
    directory: Path
    mark: str  # of what is started through it

    def cluster(self, hosts=("127.0.0.1", "127.0.0.1"), **options):
        connect_options = {
            "port": self.port,
            "username": getpass.getuser(),
            "client_keys": [str(self.directory / "user")],
            "known_hosts": str(self.directory / "known_hosts"),
        }
        ours = {"remote_python": str(self.directory / "python"), "interface": "lo", "dashboard_address": "127.0.0.1:0"}
        return Ssh(hosts, **{"connect_options": connect_options, **ours, **options})

    def connecting(self, **options):
        cluster = self.cluster()
        return replace(cluster, connect_options={**cluster.connect_options, **options})


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory, port = tmp_path_factory.mktemp("ssh"), free_port()
    mark = f"through {directory}"
    host_key = make_key(directory / "host")
    (directory / "authorized_keys").write_text(make_key(directory / "user"))
    make_key(directory / "stranger")
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (directory / "known_hosts_of_another").write_text(f"[127.0.0.1]:{port} {make_key(directory / 'another')}")
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PidFile": "none",
    }
    (directory / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    script(directory / "python", mark, sys.executable)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its privileges
    command = [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")]
    with running(command, str(directory), directory / "log"):
        wait_until(lambda: accepts(port), "sshd")
        yield Server(port, directory, mark)


@needs_sshd
def test_workers_start_on_the_hosts_and_end_with_the_block(server):
    cluster = server.cluster(workers_per_host=2, threads_per_worker=2, memory_limit="1GiB")
    with dask.config.set({READ_AHEAD: 1}), cluster.connect() as connection:
        client = default_client()
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert [(one["nthreads"], one["memory_limit"]) for one in workers] == [(3, 2**30)] * 2
        assert set(client.run(dask.config.get, COMPUTE_THREADS).values()) == {2}
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.no_workers_timeout) == 60
        assert connection.dashboard.startswith("http://127.0.0.1:")
        assert len(marked(server.mark)) >= 3
    assert connection.description == "2 workers with 2 threads each on 127.0.0.1"
    assert_all_end(server.mark)
    with pytest.raises(ValueError, match="No client"):
        default_client()


@pytest.mark.slow
@needs_sshd
def test_an_error_within_ends_what_was_started(server):
    def fail():
        with server.cluster().connect():
            assert marked(server.mark)
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    assert_all_end(server.mark)


@needs_sshd
@pytest.mark.slow
def test_a_worker_that_does_not_start_ends_what_was_started(server):
    cluster = server.cluster(hosts=("127.0.0.1", "127.0.0.1", "nowhere.invalid"), start_timeout=5)
    with pytest.raises(ClusterLostError, match=r"no cluster on 127\.0\.0\.1, nowhere\.invalid: "), cluster.connect():
        pass
    assert_all_end(server.mark)


@needs_sshd
@pytest.mark.slow
def test_a_fit_gives_the_bits_of_threads(server, tmp_path, model_of_threads):
    ours = fitted(tmp_path, section(server.cluster(workers_per_host=2)))
    assert_same_bits(ours, model_of_threads)
    assert_all_end(server.mark)


@needs_sshd
@pytest.mark.slow
def test_a_host_that_refuses_is_named_in_one_line(server, tmp_path):
    stranger = server.connecting(client_keys=[str(server.directory / "stranger")])
    assert_refused(fit(tmp_path, section(stranger)), 5, "no cluster on 127.0.0.1: PermissionDenied")
    elsewhere = server.connecting(port=free_port())
    assert_refused(fit(tmp_path, section(elsewhere)), 5, "no cluster on 127.0.0.1: ConnectionRefusedError")


@needs_sshd
def test_a_host_that_is_another_is_not_trusted(server):
    cluster = server.connecting(known_hosts=str(server.directory / "known_hosts_of_another"))
    with pytest.raises(ClusterLostError, match="HostKeyNotVerifiable: Host key is not trusted"), cluster.connect():
        pass


@needs_sshd
def test_a_host_that_does_not_exist_is_named(server):
    cluster = server.cluster(hosts=("nowhere.invalid", "127.0.0.1"))
    with pytest.raises(ClusterLostError, match=r"no cluster on nowhere\.invalid, 127\.0\.0\.1: gaierror"):
        cluster.connect().__enter__()


@needs_sshd
@pytest.mark.slow
def test_a_python_that_is_missing_on_the_host_is_named(server, tmp_path):
    missing = server.cluster(remote_python="/nowhere/python")
    assert_refused(fit(tmp_path, section(missing)), 5, "No such file or directory); look whether")
    bare = server.cluster(remote_python=str(script(tmp_path / "bare", server.mark, sys.executable, "-S", "-I")))
    assert_refused(fit(tmp_path, section(bare)), 5, "No module named 'distributed'")
    assert_all_end(server.mark)


HOSTS = ("a", "b", "c")


def test_it_says_what_it_starts():
    cluster = Ssh(HOSTS, workers_per_host=3, threads_per_worker=2)
    assert (cluster.n_processes, cluster.compute_threads) == (6, 2)


@pytest.mark.parametrize("secret", ["password", "passphrase"])
def test_secrets_do_not_belong_in_a_configuration(secret):
    with pytest.raises(ConfigurationError, match=f"{secret} does not belong in a configuration") as caught:
        Ssh(HOSTS, connect_options={secret: "open-sesame"})
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonsense": 3}, "unexpected keyword argument 'nonsense'"),
        ({"client_keys": ["/nowhere/key"]}, "No such file or directory: '/nowhere/key'"),
        ({"client_keys": [__file__]}, "Invalid private key"),
    ],
)
def test_options_that_asyncssh_does_not_take_are_named(options, message):
    pytest.importorskip("asyncssh")
    with pytest.raises(ConfigurationError, match=message) as caught, Ssh(HOSTS, connect_options=options).connect():
        pass
    assert str(caught.value).startswith("cluster.connect_options {")


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("{kind: ssh}", "cluster.hosts is missing"),
        ("{kind: ssh, hosts: [a]}", "cluster.hosts should have at least 2 items"),
        ("{kind: ssh, hosts: [a, b], memory_limit: much}", "cluster.memory_limit 'much' is not a size"),
        ("{kind: ssh, hosts: [a, b], workers: 2}", "unknown key cluster.workers, did you mean workers_per_host?"),
        ("{kind: ssh, hosts: [a, b], connect_options: {password: x}}", "password does not belong in a configuration"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(cluster, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(f"data: {{path: x}}\ncluster: {cluster}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_sshd
@pytest.mark.slow
def test_what_a_killed_client_has_started_ends_by_itself(server, tmp_path):
    kill_a_client_of(section(server.cluster()), tmp_path)
    assert marked(server.mark)
    assert_all_end(server.mark)
