"""What is held of a cluster while a job runs."""

from contextlib import contextmanager

import pytest
from distributed import LocalCluster

from daskgmm.clusters.connection import hold_cluster
from daskgmm.clusters.kinds import local


@contextmanager
def closed_too_late():
    yield "cluster"
    raise TimeoutError


def test_a_cluster_that_cannot_be_closed_is_told_and_spoils_nothing():
    leftovers = []
    with hold_cluster(closed_too_late(), leftovers) as held:
        assert held == "cluster"
    (message,) = leftovers
    assert "may still run" in message
    assert "TimeoutError" in message


def test_it_does_not_hide_the_error_of_the_job():
    leftovers = []
    with pytest.raises(KeyError, match="of the job"), hold_cluster(closed_too_late(), leftovers):
        raise KeyError("of the job")
    assert len(leftovers) == 1


def test_local_workers_that_end_too_late_are_told(monkeypatch):
    class Slow(LocalCluster):
        def __exit__(self, *args):
            super().__exit__(*args)
            raise TimeoutError

    monkeypatch.setattr(local, "LocalCluster", Slow)
    with local.Local(n_workers=1, memory_limit="500MiB").connect() as connection:
        assert not connection.leftovers
    assert len(connection.leftovers) == 1
