"""A scheduler that ends, and its workers with it, once it has no client: that of a job that was killed.

Schedulers run the text of this module itself, so that they need no package of ours. It has no single quote: a shell
hands it on within two.
"""

import time
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.ioloop import PeriodicCallback

_FIRST_CLIENT_TIMEOUT = 600.0  # seconds: the client comes after the workers
_CLIENT_TIMEOUT = 10.0  # seconds without any
_INTERVAL = 1.0  # seconds between two looks


def dask_setup(scheduler: Any) -> None:
    """Look from now on whether the scheduler has a client, and close it where none has been there for a while."""
    limit = time.monotonic() + _FIRST_CLIENT_TIMEOUT

    class Arrivals(SchedulerPlugin):  # type: ignore[misc] # distributed has no types
        """Notes clients that come and go between two looks too."""

        def add_client(self, scheduler: Any, client: str) -> None:
            nonlocal limit
            limit = time.monotonic() + _CLIENT_TIMEOUT

    async def look() -> None:
        nonlocal limit
        if set(scheduler.clients) - {"fire-and-forget"}:  # that one is always there
            limit = time.monotonic() + _CLIENT_TIMEOUT
        elif time.monotonic() > limit:
            await scheduler.close(reason="its last client is gone")

    watch = PeriodicCallback(look, 1000 * _INTERVAL)
    scheduler.add_plugin(Arrivals(), name="daskgmm-arrivals")
    scheduler.periodic_callbacks["daskgmm-abandonment"] = watch  # it stops them when it closes
    watch.start()
