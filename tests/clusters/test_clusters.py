import urllib.request

import dask
import dask.array as da
import pytest
from distributed import default_client

from daskgmm.clusters import Local, Threads


def test_threads_make_the_threaded_scheduler_active():
    with Threads(n_workers=3).connect() as connection:
        assert dask.config.get("scheduler") == "threads"
        assert dask.config.get("num_workers") == 3
    assert connection.description == "3 threads of this process"
    assert connection.dashboard is None
    assert dask.config.get("scheduler", None) is None


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
