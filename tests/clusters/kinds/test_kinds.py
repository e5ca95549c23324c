import urllib.request

import dask
import dask.array as da
import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Local, Threads
from daskgmm.concurrency import COMPUTE_THREADS, READ_AHEAD, Execution, current_execution


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
    assert connection.description == "1 local workers with 2 threads each"


def test_a_cluster_says_what_it_starts():
    assert (Threads(n_workers=3).n_processes, Threads(n_workers=3).compute_threads) == (1, 3)
    local = Local(n_workers=4, threads_per_worker=2)
    assert (local.n_processes, local.compute_threads) == (4, 2)
