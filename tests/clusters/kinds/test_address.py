"""kind: address, against `dask scheduler` and `dask worker` processes."""

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import dask
import dask.array as da
import pytest
from distributed import LocalCluster, default_client

from daskgmm.clusters.kinds import Address
from daskgmm.clusters.kinds.address import Tls
from daskgmm.errors import ClusterLostError, ConfigurationError

from ..processes import (
    assert_all_end,
    assert_refused,
    assert_same_bits,
    fit,
    fitted,
    free_port,
    marked,
    running,
    wait_until,
)

N_WORKERS = 2


@contextmanager
def dask_cluster(directory, *security, n_workers=N_WORKERS):
    """Run `dask scheduler` and `dask worker`s; give the scheduler file."""
    mark, scheduler_file = str(directory), directory / "scheduler.json"
    place = ["--scheduler-file", str(scheduler_file), "--host", "127.0.0.1", *security]
    dask_command = [sys.executable, "-m", "dask"]
    with ExitStack() as stack:
        scheduler = [*dask_command, "scheduler", *place, "--port", "0", "--dashboard-address", "127.0.0.1:0"]
        stack.enter_context(running(scheduler, mark, directory / "scheduler.log"))
        wait_until(scheduler_file.exists, "the scheduler file")
        for i in range(n_workers):
            worker = [*dask_command, "worker", *place, "--nthreads", "1", "--no-dashboard"]
            stack.enter_context(running(worker, mark, directory / f"worker-{i}.log"))
        yield scheduler_file
    assert_all_end(mark)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with dask_cluster(tmp_path_factory.mktemp("plain")) as scheduler_file:
        yield scheduler_file


def by_file(scheduler_file, **options):
    return Address(scheduler_file=str(scheduler_file), **options)


def address_of(scheduler_file, **options):
    with by_file(scheduler_file, **options).connect() as connection:
        return connection.client.scheduler.address


def by_address(scheduler_file, **options):
    return Address(address=address_of(scheduler_file, **options), **options)


def assert_computes(cluster):
    with cluster.connect() as connection:
        assert connection.client is default_client()
        assert int(da.arange(10, chunks=2).sum().compute()) == 45


def assert_no_client_is_left():
    assert dask.config.get("scheduler", None) is None
    with pytest.raises(ValueError, match="No client"):
        default_client()


@pytest.mark.parametrize("reach", [pytest.param(by_file, marks=pytest.mark.slow), by_address])
def test_a_cluster_that_runs_is_used_and_left_running(plain, reach):
    cluster = reach(plain, n_workers=N_WORKERS)
    assert_computes(cluster)  # all its processes are there
    before = sorted(marked(str(plain.parent)))
    for _ in range(2):
        with cluster.connect() as connection:
            workers = connection.client.scheduler_info(n_workers=-1)["workers"]
            assert len(workers) == N_WORKERS
            assert connection.client.submit(os.getpid).result() != os.getpid()
            assert connection.description.startswith("workers of the scheduler at tcp://127.0.0.1:")
            assert connection.dashboard.startswith("http://127.0.0.1:")
        assert_no_client_is_left()
    assert sorted(marked(str(plain.parent))) == before
    assert len(before) >= 1 + N_WORKERS


def test_an_error_within_closes_the_client_alone(plain):
    def fail():
        with by_file(plain).connect():
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    assert_no_client_is_left()
    assert_computes(by_file(plain))


@pytest.mark.slow
def test_a_fit_gives_the_bits_of_threads(plain, tmp_path, model_of_threads):
    cluster = {"kind": "address", "scheduler_file": str(plain), "n_workers": N_WORKERS}
    assert_same_bits(fitted(tmp_path, cluster), model_of_threads)


def test_workers_that_do_not_come_are_waited_for_in_vain(plain):
    cluster = by_file(plain, n_workers=N_WORKERS + 1, start_timeout=1)
    with pytest.raises(ClusterLostError, match=r"not all of 3 workers came within 1 s"), cluster.connect():
        pass
    assert_no_client_is_left()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Files of a cluster's authority, and of another that it does not know."""
    directory = tmp_path_factory.mktemp("certificates")
    return {name: _certificate(directory / name) for name in ("ours", "foreign")}


def _certificate(directory):
    directory.mkdir()
    trustme = pytest.importorskip("trustme", reason="needs the package trustme")
    authority = trustme.CA()
    one = authority.issue_cert("127.0.0.1")
    paths = [directory / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(paths[0])
    one.cert_chain_pems[0].write_to_path(paths[1])
    one.private_key_pem.write_to_path(paths[2])
    return Tls(*map(str, paths))


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, certificates):
    ours = certificates["ours"]
    files = ("--tls-ca-file", ours.ca_file, "--tls-cert", ours.cert_file, "--tls-key", ours.key_file)
    directory = tmp_path_factory.mktemp("encrypted")
    with dask_cluster(directory, "--protocol", "tls", *files, n_workers=1) as scheduler_file:
        yield scheduler_file


@pytest.mark.parametrize("reach", [pytest.param(by_file, marks=pytest.mark.slow), by_address])
def test_an_encrypted_cluster_takes_a_client_with_its_certificate(encrypted, certificates, reach):
    cluster = reach(encrypted, tls=certificates["ours"])
    assert_computes(cluster)
    assert_no_client_is_left()


def test_the_key_may_stand_in_the_certificate_file(encrypted, certificates, tmp_path):
    ours, both = certificates["ours"], tmp_path / "both.pem"
    both.write_bytes(Path(ours.key_file).read_bytes() + Path(ours.cert_file).read_bytes())
    assert_computes(by_file(encrypted, tls=Tls(ours.ca_file, str(both))))


def test_files_of_dasks_own_configuration_are_used(encrypted, certificates):
    ours = certificates["ours"]
    client = {"cert": ours.cert_file, "key": ours.key_file}
    with dask.config.set({"distributed.comm.tls.ca-file": ours.ca_file, "distributed.comm.tls.client": client}):
        assert_computes(by_file(encrypted))


@pytest.mark.slow
def test_a_fit_on_an_encrypted_cluster_gives_the_bits_of_threads(encrypted, certificates, tmp_path, model_of_threads):
    cluster = {"kind": "address", "scheduler_file": str(encrypted), "tls": asdict(certificates["ours"])}
    assert_same_bits(fitted(tmp_path, cluster), model_of_threads)


@pytest.mark.slow
def test_a_client_without_a_certificate_is_refused(encrypted, certificates, tmp_path):
    bare = {"kind": "address", "scheduler_file": str(encrypted), "start_timeout": 2}
    assert_refused(fit(tmp_path, bare), 2, "wants certificates: give cluster.tls")
    tls = address_of(encrypted, tls=certificates["ours"])
    unencrypted = {"kind": "address", "address": tls.replace("tls://", "tcp://"), "start_timeout": 2}
    assert_refused(fit(tmp_path, unencrypted), 5, "no connection to the scheduler at tcp://127.0.0.1:")
    foreign = {**bare, "tls": {**asdict(certificates["foreign"]), "ca_file": certificates["ours"].ca_file}}
    assert_refused(fit(tmp_path, foreign), 5, "no connection to the scheduler at tls://127.0.0.1:")
    untrusting = {**bare, "tls": {**asdict(certificates["ours"]), "ca_file": certificates["foreign"].ca_file}}
    assert_refused(fit(tmp_path, untrusting), 5, "certificate verify failed")


@pytest.mark.slow
def test_an_encrypted_client_does_not_speak_to_a_plain_scheduler(plain, certificates, tmp_path):
    tls = address_of(plain).replace("tcp://", "tls://")
    cluster = {"kind": "address", "address": tls, "tls": asdict(certificates["ours"]), "start_timeout": 2}
    assert_refused(fit(tmp_path, cluster), 5, f"no connection to the scheduler at {tls}")
    with pytest.raises(ConfigurationError, match=r"is not encrypted: with cluster\.tls it begins with tls://"):
        address_of(plain, tls=certificates["ours"])


def test_a_scheduler_that_is_not_there_is_named(tmp_path):
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    refusing = {"kind": "address", "address": nowhere, "start_timeout": 1}
    assert_refused(fit(tmp_path, refusing), 5, f"no connection to the scheduler at {nowhere}: ")
    unknown = Address(address="tcp://nowhere.invalid:8786", start_timeout=1)
    with pytest.raises(ClusterLostError, match=r"nowhere\.invalid:8786: "), unknown.connect():
        pass
    assert_no_client_is_left()


NOT_OURS = "is not one that dask scheduler --scheduler-file wrote"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot read cluster\.scheduler_file '.*': No such file or directory; dask scheduler"),
        ("{", NOT_OURS),
        ("[]", NOT_OURS),
        ("{}", NOT_OURS),
        ('{"address": "here"}', r"the address in cluster\.scheduler_file '.*' 'here' is not of the form tcp://"),
    ],
)
def test_a_scheduler_file_that_is_none_is_named(tmp_path, text, message):
    path = tmp_path / "scheduler.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=message), by_file(path).connect():
        pass


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_tls_that_is_missing_or_no_certificate_is_named(certificates, tmp_path, key, content):
    path = tmp_path / "wrong.pem"
    if content is not None:
        path.write_text(content)
    tls = Tls(**{**asdict(certificates["ours"]), key: str(path)})
    message = r"wrong\.pem' is not a file" if content is None else r"cluster\.tls: .*wrong\.pem.* in PEM format"
    with pytest.raises(ConfigurationError, match=message), Address("address", "tls://h:1", tls=tls).connect():
        pass


@pytest.mark.parametrize("address", ["host:8786", "tcp://host", "tcp://:8786", "tcp://host:port", "udp://host:8786"])
def test_an_address_that_is_none_is_named(address):
    with pytest.raises(ConfigurationError, match=r"is not of the form tcp://host:8786 or tls://host:8786"):
        Address(address=address)


@pytest.mark.parametrize("both", [{}, {"address": "tcp://h:1", "scheduler_file": "s.json"}])
def test_there_is_one_address(both):
    with pytest.raises(ConfigurationError, match="takes either address, as in tcp://host:8786, or scheduler_file"):
        Address(**both)


def test_it_says_what_it_waits_for():
    cluster = Address(address="tcp://h:1", n_workers=3, threads_per_worker=2)
    assert (cluster.n_processes, cluster.compute_threads) == (3, 2)


@pytest.fixture
def adaptive():
    """An adaptive cluster in this process that has no worker while it has no task."""
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="50ms", wait_count=2)
        yield cluster


@pytest.mark.slow
def test_tasks_bring_workers_of_an_adaptive_scheduler_that_has_none(adaptive):
    with Address(address=adaptive.scheduler_address, n_workers=2, start_timeout=20).connect() as connection:
        assert int(da.arange(10, chunks=2).sum().compute()) == 45
        with connection.present():
            time.sleep(0.5)  # idle for longer than it takes to be retired
            assert connection.client.run(os.getpid)
