import os
import signal
import subprocess
import sys
import urllib.request

import dask
import dask.array as da
import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Local, Threads
from daskgmm.concurrency import COMPUTE_THREADS, READ_AHEAD, Execution, current_execution

from ..processes import environment


def test_threads_compute_for_their_job_alone():
    with Threads(n_workers=3).connect() as connection:
        assert current_execution() == Execution("threads", 3)
        assert dask.config.get("scheduler", None) is None
    assert connection.description == "3 threads of this process"
    assert connection.dashboard is None
    assert current_execution() is None


def test_local_starts_processes_with_a_dashboard_and_closes_them():
    with Local(n_workers=2, memory_limit="1GiB").connect() as connection:
        workers = default_client().scheduler_info(n_workers=-1)["workers"].values()
        assert len(workers) == 2
        assert {one["memory_limit"] for one in workers} == {2**30}
        assert int(da.arange(10, chunks=2).sum().compute()) == 45
        with urllib.request.urlopen(connection.dashboard, timeout=10) as page:
            assert page.status == 200
    with pytest.raises(ValueError, match="No client"):
        default_client()


@pytest.mark.parametrize(("read_ahead", "n_threads"), [(0, 2), (3, 5), ("auto", 4)])
def test_local_workers_have_threads_that_read_ahead_beside_those_that_compute(read_ahead, n_threads):
    local = Local(n_workers=1, threads_per_worker=2, dashboard_address=None)
    with dask.config.set({READ_AHEAD: read_ahead}), local.connect() as connection:
        client = default_client()
        (worker,) = client.scheduler_info(n_workers=-1)["workers"].values()
        assert worker["nthreads"] == n_threads
        assert list(client.run(dask.config.get, COMPUTE_THREADS).values()) == [2]
    assert connection.description == "1 local worker with 2 threads"


def test_local_workers_live_on_where_the_signals_of_a_job_reach_them():
    with Local(n_workers=1, dashboard_address=None).connect() as connection:
        (worker,) = connection.client.run(os.getpid).values()
        for number in (signal.SIGINT, signal.SIGUSR1):
            os.kill(worker, number)
        assert connection.client.submit(os.getpid).result() == worker


FIRST_CLUSTER = """
import os, signal
import psutil
from daskgmm.clusters.kinds import Local
if __name__ == "__main__":
    with Local(n_workers=1, dashboard_address=None).connect() as connection:
        signal.signal(signal.SIGUSR1, lambda *of: None)
        before = {one.pid for one in psutil.Process().children(recursive=True)}
        os.killpg(os.getpgrp(), signal.SIGUSR1)
        connection.client.restart_workers(list(connection.client.scheduler_info()["workers"]))
        os.killpg(os.getpgrp(), signal.SIGUSR1)
        connection.client.submit(os.getpid).result()
        left = {one.pid for one in psutil.Process().children(recursive=True) if one.status() != "zombie"}
        print(len(before), len(before - left))
"""


@pytest.mark.slow
def test_multiprocessings_helper_lives_on_too(tmp_path):
    (tmp_path / "first.py").write_text(FIRST_CLUSTER)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "first.py")],
        env=environment("first"),
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 1\n"  # the helper and a worker, of which the worker was restarted


def test_a_cluster_says_what_it_starts():
    assert (Threads(n_workers=3).n_processes, Threads(n_workers=3).compute_threads) == (1, 3)
    local = Local(n_workers=4, threads_per_worker=2)
    assert (local.n_processes, local.compute_threads) == (4, 2)
