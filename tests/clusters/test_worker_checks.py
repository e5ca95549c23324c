"""What is asked of workers before any work, against schedulers and workers in processes of their own."""

import os
import shutil
import signal
from contextlib import nullcontext
from functools import partial
from importlib import invalidate_caches
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from numba.core.registry import cpu_target

import daskgmm
from daskgmm.chunked.worker_usage import usage
from daskgmm.clusters import worker_checks as preflight
from daskgmm.clusters.connection import Connection, answers_within
from daskgmm.clusters.worker_checks import (
    answers,
    blas_of_workers,
    check_packages,
    check_paths,
    differences,
    memory_limits,
    most_threads,
)
from daskgmm.config import parse_config
from daskgmm.errors import ClusterLostError, ConfigurationError
from daskgmm.events import Notice
from daskgmm.jobs.plan import plan_fit
from daskgmm.jobs.preflight import check_cluster, local_inputs
from daskgmm.sources import DataOptions, open_source

from .environments import cluster_of_processes, forged, site_without

JOB = "data: {path: 'sample:iris'}\nmodel: {n_components: 2}\noutput: {directory: run, report: false}"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two workers of this environment."""
    with (
        cluster_of_processes(tmp_path_factory.mktemp("same"), n_workers=2) as file,
        Client(scheduler_file=str(file), set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture
def connected(tmp_path):
    """A function that gives a client of one worker with the packages in some folders alone."""

    def connect(*path):
        return cluster_of_processes(tmp_path, path=path)

    return connect


def test_workers_of_the_same_environment_do_not_differ(client):
    told = []
    assert differences(client) == []
    check_packages(client, told.append)
    assert told == []


def test_versions_are_asked_in_few_rounds(client, monkeypatch):
    rounds, run, versions = [], client.run, client.get_versions
    monkeypatch.setattr(client, "run", lambda what, *a, **k: rounds.append(what.__name__) or run(what, *a, **k))
    monkeypatch.setattr(client, "get_versions", lambda **k: rounds.append("versions") or versions(**k))
    check_packages(client, pytest.fail)
    blas_of_workers(client)
    assert rounds == ["versions", "tell", "_own_blas"]


def test_a_directory_that_another_job_fills_meanwhile_stays(client, tmp_path, monkeypatch):
    def fill(client, function, probe):
        (tmp_path / "out" / "of-another-job").touch()
        return answers(client, function, probe)

    monkeypatch.setattr(preflight, "answers", fill)
    check_paths(client, [], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["of-another-job"]


def one_worker(file):
    client = Client(scheduler_file=str(file), set_as_default=False)
    client.wait_for_workers(1, timeout=60)
    return client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::distributed.versions.VersionMismatchWarning")  # the same, as a table
@pytest.mark.parametrize(
    ("package", "other", "serious"),
    [("dask", "2020.1.0", True), ("numpy", "1.9.0", True), ("scipy", "1.0.1", False), ("daskgmm", "9.9", True)],
)
def test_versions_that_differ_are_told_and_refused_where_they_matter(tmp_path, connected, package, other, serious):
    told, path = [], (forged(tmp_path / "forged", package, other), site_without(tmp_path / "site", "daskgmm"))
    refused = pytest.raises(ConfigurationError, match=rf"{package} is .* here and {other} on tcp://.*: install")
    with connected(*path) as file, one_worker(file) as client, refused if serious else nullcontext():
        check_packages(client, told.append)
    assert any(f"{package} is" in message and f"{other} on tcp://" in message for message in told)


@pytest.mark.slow
def test_a_package_that_workers_lack_is_refused_and_not_waited_for(tmp_path, connected):
    refused = pytest.raises(ConfigurationError, match=r"numba is .* here and missing on tcp://")
    with connected(site_without(tmp_path / "site", "numba")) as file, one_worker(file) as client, refused:
        check_packages(client, lambda message: None)


@pytest.mark.slow
def test_this_package_is_sent_where_it_is_missing_and_computes_there(tmp_path, connected):
    told = []
    with connected(site_without(tmp_path / "site", "daskgmm")) as file, one_worker(file) as client:
        check_packages(client, told.append)
        assert len(told) == 1
        assert "daskgmm is missing on tcp://" in told[0]
        assert blas_of_workers(client).most_threads == 1
        again = []
        check_packages(client, again.append)
        assert again == []


@pytest.mark.slow
def test_workers_that_were_sent_other_code_are_refused(tmp_path, connected, monkeypatch):
    with connected(site_without(tmp_path / "site", "daskgmm")) as file, one_worker(file) as client:
        check_packages(client, lambda message: None)
        monkeypatch.setattr(preflight, "_own_version", lambda: "0+of-other-code")
        with pytest.raises(ConfigurationError, match=r"daskgmm is .* here and .*\+\w+ on .*: install .* or restart"):
            check_packages(client, lambda message: None)


@pytest.mark.slow
def test_workers_that_have_other_code_of_the_same_version_are_refused(tmp_path, connected):
    told, site = [], forged(site_without(tmp_path / "site", "daskgmm"), "daskgmm", version("daskgmm"))
    package = shutil.copytree(Path(daskgmm.__file__).parent, site / "daskgmm")
    with connected(site) as file, one_worker(file) as client:
        check_packages(client, told.append)
        assert told == []
        (package / "options.py").write_text("# changed there\n")
        refused = r"^daskgmm is \S+\+\w{12} here and \S+\+\w{12} on tcp://.* and 1 more: install"
        with pytest.raises(ConfigurationError, match=refused):
            check_packages(client, told.append)


def test_the_version_of_a_package_ends_with_a_digest_of_its_sources(tmp_path, monkeypatch):
    forged(tmp_path, "package_of_a_test", "1.0")
    monkeypatch.syspath_prepend(tmp_path)
    tell = partial(preflight._version_teller(), "package_of_a_test")
    assert tell() == "1.0"  # without any sources
    (tmp_path / "package_of_a_test" / "part").mkdir(parents=True)
    told = []
    for file, text in (("__init__.py", "x = 1"), ("part/a.py", "y = 1"), ("part/a.py", "y = 2"), ("notes.txt", "z")):
        (tmp_path / "package_of_a_test" / file).write_text(text)
        invalidate_caches()
        told.append(tell())
    assert all(one.startswith("1.0+") for one in told)
    assert len(set(told)) == 3
    assert told[-1] == told[-2]


@pytest.mark.slow
def test_workers_whose_package_has_no_version_are_refused(tmp_path, connected):
    site = site_without(tmp_path / "site", "daskgmm")
    (site / "daskgmm").mkdir()
    (site / "daskgmm" / "__init__.py").touch()
    refused = pytest.raises(ConfigurationError, match=r"daskgmm is .* here and of an unknown version on")
    with connected(site) as file, one_worker(file) as client, refused:
        check_packages(client, lambda message: None)


def test_files_that_workers_do_not_see_are_named(client, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, 2)))
    check_paths(client, [tmp_path / "rows.npy"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigurationError, match=r"nowhere\.npy is not readable on tcp://.* and 1 more: workers read"):
        check_paths(client, [tmp_path / "nowhere.npy"], None)


def test_inputs_are_the_local_files_of_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_inputs(DataOptions("a.zarr")) == [tmp_path / "a.zarr"]
    assert local_inputs(DataOptions("parts/part-*.npy")) == [tmp_path / "parts"]
    assert local_inputs(DataOptions("a.h5::x/y")) == [tmp_path / "a.h5"]
    assert local_inputs(DataOptions("s3://a/b.zarr")) == local_inputs(DataOptions("sample:iris")) == []


def test_tasks_call_blas_on_one_thread_and_memory_is_known(client):
    assert blas_of_workers(client).most_threads == 1
    assert len(memory_limits(client)) == 2


def test_workers_of_the_same_processor_take_the_same_kernels(client):
    ((kernels, places),) = blas_of_workers(client).places.items()
    assert len(places) == 3
    assert f"numba {cpu_target.target_context.codegen().magic_tuple()[1]} (" in kernels


def test_little_memory_is_told_before_any_work(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    config = parse_config(JOB, ("model.n_components=200", "output.labels=false"))
    source = open_source(DataOptions("sample:synthetic"))
    huge = parse_config(
        JOB, ("fit.sample_size=100000000", "data.path=sample:synthetic", "data.synthetic.n_samples=1e9")
    )
    check_cluster(Connection("here", client=client), plan_fit(config, source), told.append, keep=False)
    assert told == []
    check_cluster(Connection("here", client=client), plan_fit(huge, open_source(huge.data)), told.append, keep=False)
    assert ["have less memory than this job takes" in one.message for one in told if isinstance(one, Notice)] == [True]


def test_workers_of_more_threads_than_memory_is_reckoned_with_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for n, told in (
            (1, ["workers run 2 tasks at once: with cluster.threads_per_worker=2 memory is planned for that"]),
            (2, []),
        ):
            config = parse_config(
                JOB, ("cluster.kind=address", "cluster.address=tcp://127.0.0.1:1", f"cluster.threads_per_worker={n}")
            )
            heard = []
            check_cluster(
                Connection("there", client=client), plan_fit(config, open_source(config.data)), heard.append, keep=True
            )
            assert [one.message for one in heard] == told


def test_a_worker_that_is_lost_while_it_is_asked_is_left_out(client):
    first = min(client.scheduler_info(n_workers=-1)["workers"])

    def lost_on_one(address, dask_worker):
        if dask_worker.address == address:
            raise CommClosedError("gone")
        return "here"

    assert list(answers(client, lost_on_one, first).values()) == ["here"]
    with pytest.raises(ZeroDivisionError):
        answers(client, divmod, 1, 0)


def test_threads_are_asked_nothing():
    plan = plan_fit(parse_config(JOB), open_source(DataOptions("sample:iris")))
    check_cluster(Connection("threads"), plan, pytest.fail, keep=True)


@pytest.fixture
def frozen(tmp_path):
    """A client of two workers, of which one is frozen."""
    with cluster_of_processes(tmp_path, n_workers=2) as file, Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(2, timeout=60)
        pid = min(client.run(os.getpid).values())
        os.kill(pid, signal.SIGSTOP)
        yield client
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def stuck(tmp_path):
    """A client of a scheduler that is frozen."""
    with cluster_of_processes(tmp_path, n_workers=1) as file, Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(1, timeout=60)
        pid = client.run_on_scheduler(os.getpid)
        os.kill(pid, signal.SIGSTOP)
        yield client
        os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_frozen_scheduler_is_not_waited_for_without_end(stuck):
    for ask in (memory_limits, most_threads, lambda client: check_packages(client, print)):
        with answers_within(0.5), pytest.raises(ClusterLostError, match=r"scheduler did not answer within 0\.5"):
            ask(stuck)


@pytest.mark.slow
def test_a_frozen_worker_is_not_waited_for_without_end(frozen, monkeypatch):
    with answers_within(2.0), pytest.raises(ClusterLostError, match="did not all answer within 2 s"):
        check_packages(frozen, print)
    monkeypatch.setattr("daskgmm.chunked.worker_usage._ANSWER_TIMEOUT", 1.0)
    assert usage() == {}
