"""What waits for the clock comes back in the order of its times."""

import asyncio
from datetime import UTC, datetime, timedelta

from ksnap.watchers.timers import Timers


async def test_what_is_due_comes_in_order_and_the_rest_stays() -> None:
    timers: Timers[str] = Timers()
    came: list[str] = []
    all_here = asyncio.Event()

    def due(what: str) -> None:
        came.append(what)
        if what == "now":
            all_here.set()

    now = datetime.now(UTC)
    timers.set(now + timedelta(hours=1), "later")
    task = asyncio.create_task(timers.run(due))
    timers.set(now - timedelta(seconds=1), "second")
    timers.set(now - timedelta(seconds=2), "first")
    timers.set(now + timedelta(milliseconds=50), "now")
    async with asyncio.timeout(20):
        await all_here.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert came == ["first", "second", "now"]
