"""Workers that leave as announced are no deaths: a task that they had is not suspected of having killed them.

distributed counts every worker that goes with a task, unless it could be retired, which takes another worker for its
data: workers that restart at the end of their lifetime would in the end condemn a task that takes no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from distributed import Client, Scheduler, SchedulerPlugin

_NAME = "daskgmm-departures"


def departures_excused(client: Client) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return the call that makes a client's scheduler excuse departures of workers until its last client is gone."""

    async def register() -> None:
        await client.register_plugin(_departures(), name=_NAME)

    return register


def _departures() -> SchedulerPlugin:  # noqa: C901 # it counts the methods of the class
    """Return the plugin. Its class is local: so it is sent itself, to schedulers that have no such package too."""

    class Departures(SchedulerPlugin):  # type: ignore[misc] # distributed is not typed
        """Takes a count of suspicion from the tasks of a worker that says that it closes: it is added when it goes."""

        name = _NAME
        idempotent = True

        def __init__(self) -> None:
            self.excused: dict[str, list[Any]] = {}  # keys of tasks by the address of the worker
            self.closing: set[str] = set()  # addresses of workers that close in any case

        async def start(self, scheduler: Scheduler) -> None:
            self.scheduler = scheduler
            for address, worker in scheduler.workers.items():
                self.see(address, worker.status.name)

        def log_event(self, topic: str, msg: Any) -> None:
            action = msg.get("action") if isinstance(msg, dict) else None
            if action == "worker-status-change":
                self.see(topic, msg["status"])
            elif action == "remove-worker" and topic == "all":
                self.closing.discard(msg["worker"])
                self.end(msg["worker"], set() if msg["expected"] else msg["processing-tasks"])

        def see(self, address: str, status: str) -> None:
            worker = self.scheduler.workers[address]
            if status == "closing":
                self.closing.add(address)
            if status == "running" and address in self.closing:
                # It was told to go on, as its data could not be moved, but it closes all the same: no more tasks.
                worker.status = type(worker.status).closing
            elif status == "running":
                self.end(address, set())
            elif status in {"closing", "closing_gracefully"} and address not in self.excused:
                self.excused[address] = [task.key for task in worker.processing]
                self.add(-1, self.excused[address])

        def end(self, address: str, counted: set[Any]) -> None:
            """Give the count back to tasks that were not counted: they were done before, or the worker stays."""
            self.add(1, [key for key in self.excused.pop(address, []) if key not in counted])

        def add(self, count: int, keys: list[Any]) -> None:
            for key in keys:
                if (task := self.scheduler.tasks.get(key)) is not None:
                    task.suspicious += count

        def remove_client(self, scheduler: Scheduler, client: str) -> None:
            if set(scheduler.clients) <= {"fire-and-forget"}:
                scheduler.remove_plugin(_NAME)

    return Departures()
