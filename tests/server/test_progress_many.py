"""Ten thousand steps to two hundred followers of whom one reads nothing: all others get all, in order, once."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.parties.server import running_server
from tests.server.follower import Follower, follower
from tests.server.job_events import open_writer

EVENTS = 10_000
FOLLOWERS = 200
# Together more than all buffers between hold, so that who reads nothing is stuck for sure.
PADDING = "x" * 1000


@pytest.mark.thorough
@pytest.mark.timeout(1200)
async def test_ten_thousand_steps_reach_all_who_read(tmp_path: Path) -> None:
    # This one process reads for all: a pause of its own must not look like theirs.
    settings = {"KSNAP_PROGRESS_CONNECTIONS_USER": str(FOLLOWERS), "KSNAP_PROGRESS_PATIENCE_S": "120"}
    with running_server(tmp_path / "data", settings) as server:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(open_writer(server.data_dir))
            job = await writer.job()
            stuck, *others = [
                await stack.enter_async_context(follower(server.url, server.token)) for _ in range(FOLLOWERS)
            ]
            for each in (stuck, *others):
                await each.ready()
            async with asyncio.TaskGroup() as group:
                reading = [group.create_task(numbers(each)) for each in others]
                for begin in range(0, EVENTS, 100):
                    await writer.note_many(job, [f"{number} {PADDING}" for number in range(begin, begin + 100)])
            assert all(each.result() == list(range(EVENTS)) for each in reading)


async def numbers(reader: Follower) -> list[int]:
    """Of all steps; cut out of the text, since parsing two million frames would take most of the time."""
    found: list[int] = []
    while len(found) < EVENTS:
        message = await reader.socket.receive(timeout=300)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found.append(int(message.data.split('"message":"')[1].split(" ", 1)[0]))
    return found
