"""Whoever waits for results of a client is woken when none will come; against schedulers and workers for real."""

import time

import pytest
from distributed import default_client

from daskgmm.clusters.kinds import Address
from daskgmm.errors import ClusterLostError, DataError

from .environments import cluster_of_processes


@pytest.fixture(scope="module")
def scheduler_file(tmp_path_factory):
    with cluster_of_processes(tmp_path_factory.mktemp("watched")) as file:
        yield file


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


@pytest.mark.slow
def test_a_task_that_computes_may_take_longer(scheduler_file):
    with Address(scheduler_file=str(scheduler_file), stall_timeout=2).connect() as connection:
        assert connection.client.submit(spin, 6).result() == "done"


@pytest.mark.slow
def test_a_client_that_waits_for_nothing_is_left_alone(scheduler_file):
    with Address(scheduler_file=str(scheduler_file), stall_timeout=0.5).connect() as connection:
        held = connection.client.submit(spin, 0)
        held.result()
        time.sleep(3)
        assert connection.client.submit(str, held).result() == "done"


def test_errors_of_a_cluster_that_is_there_are_left_alone(scheduler_file):
    with pytest.raises(DataError, match="rows"), Address(scheduler_file=str(scheduler_file)).connect():
        raise DataError("rows")
    with pytest.raises(ValueError, match="No client"):
        default_client()


@pytest.mark.slow
def test_a_task_that_waits_for_ever_ends_with_what_is_seen(scheduler_file):
    seen = r"no task was completed for \d+ s: 1 workers have the same 1 tasks since, such as sleep-.*stall_timeout$"
    with (  # the worker is not free again for a while: this test is the last
        pytest.raises(ClusterLostError, match=seen),
        Address(scheduler_file=str(scheduler_file), stall_timeout=1).connect() as connection,
    ):
        connection.client.submit(time.sleep, 8).result()
