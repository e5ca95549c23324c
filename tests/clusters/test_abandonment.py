"""Schedulers that others start for a job, and whose client is gone."""

import asyncio
import shlex

from distributed import Client, Scheduler

from daskgmm.clusters.connection import abandonment_text

HURRIED = abandonment_text().replace("_CLIENT_TIMEOUT = 10.0", "_CLIENT_TIMEOUT = 0.2").replace("L = 1.0", "L = 0.05")


def test_a_scheduler_ends_a_while_after_its_last_client():
    async def check():
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0", preload=HURRIED, protocol="tcp") as scheduler:
            async with Client(scheduler.address, asynchronous=True, set_as_default=False):
                async with Client(scheduler.address, asynchronous=True, set_as_default=False):
                    pass
                await asyncio.sleep(0.6)
                assert scheduler.status.name == "running"
            await asyncio.wait_for(scheduler.finished(), 20)

    asyncio.run(check())


def test_a_scheduler_waits_for_its_first_client():
    async def check():
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0", preload=HURRIED, protocol="tcp") as scheduler:
            await asyncio.sleep(0.6)
            assert scheduler.status.name == "running"

    asyncio.run(check())


def test_the_text_that_schedulers_run_can_be_handed_to_a_shell_and_logged():
    text = abandonment_text()
    assert shlex.split(f"'{text}'") == [text]
    assert all(line.strip() for line in text.splitlines())
