"""The feed over a real SQLite file: every event once and in order, for those who keep up and those who do not.

What only PostgreSQL does (ids that appear out of order) is tested there: tests/server/test_postgresql.py.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from ksnap.checkpoints.feed import BATCH, PAGE, FeedEnded, FeedReader, open_feed
from ksnap.checkpoints.job_log import Wanted
from ksnap.settings import ServerSettings
from ksnap.store.migrate import migrate
from tests.server.job_events import JobWriter, open_writer

ALL = Wanted()


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[JobWriter]:
    await asyncio.to_thread(migrate, ServerSettings(data_dir=tmp_path).resolved_database_url)
    async with open_writer(tmp_path) as opened:
        yield opened


async def taken(reader: FeedReader, count: int) -> list[str]:
    """Exactly so many messages."""
    messages: list[str] = []
    async with asyncio.timeout(40):
        while len(messages) < count:
            messages += [each.message for each in await reader.next()]
    assert len(messages) == count
    return messages


def numbers(begin: int, end: int) -> list[str]:
    return [str(each) for each in range(begin, end)]


@pytest.mark.parametrize("window", [10, 5000])
async def test_a_burst_reaches_a_fast_and_a_late_reader_alike(writer: JobWriter, window: int) -> None:
    """Longer than a page and, once, far longer than the window: who has not taken it yet finds it in the store."""
    count = 2 * PAGE + BATCH + 7
    job = await writer.job()
    async with open_feed(writer.jobs, window=window) as feed, feed.reader(ALL) as fast, feed.reader(ALL) as late:
        await writer.note_many(job, numbers(0, count))
        assert await taken(fast, count) == numbers(0, count)
        assert await taken(late, count) == numbers(0, count)
        await writer.note(job, "last")
        assert await taken(late, 1) == ["last"]
        assert await taken(fast, 1) == ["last"]


async def test_history_and_present_join_without_a_seam(writer: JobWriter) -> None:
    """A reader begins with the oldest while events are being written, alone and beside one that is there already."""
    job = await writer.job()
    await writer.note_many(job, numbers(0, 700))

    async def write() -> None:
        for each in numbers(700, 800):
            await writer.note(job, each)

    async with open_feed(writer.jobs) as feed, feed.reader(ALL, after=0) as alone:
        writing = asyncio.create_task(write())
        first = [each.message for each in await alone.next()]
        async with feed.reader(ALL, after=0) as beside:
            assert await taken(beside, 800) == numbers(0, 800)
        assert first + await taken(alone, 800 - len(first)) == numbers(0, 800)
        await writing


async def test_the_filter_is_one_for_store_and_window(writer: JobWriter) -> None:
    jobs = [
        await writer.job(by=by, cluster=cluster, namespace=namespace)
        for by in ("ann", "ben", "watcher:w")
        for cluster in ("c1", "c2")
        for namespace in ("n1", "n2")
    ]
    filters = [
        Wanted(),
        Wanted(username="ann"),
        Wanted(username="zoe"),
        Wanted(cluster_name="c1"),
        Wanted(namespace="n2"),
        Wanted(job_id=jobs[1].id),
        Wanted("ben", None, "c2", "n1"),
    ]
    for job in jobs:
        await writer.note(job, job.id)
    events = await writer.jobs.events_of_all(Wanted(), after=0, limit=100)
    assert [each.message for each in events] == [each.id for each in jobs]
    counts = []
    for wanted in filters:
        stored = await writer.jobs.events_of_all(wanted, after=0, limit=100)
        assert stored == [each for each in events if wanted.takes(each)]
        counts.append(len(stored))
    assert counts == [12, 8, 4, 6, 6, 1, 2]


async def test_a_look_that_is_cancelled_loses_nothing(writer: JobWriter) -> None:
    job = await writer.job()
    async with open_feed(writer.jobs) as feed, feed.reader(ALL) as reader:
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await writer.note(job, "kept")
        assert await taken(reader, 1) == ["kept"]


async def test_ids_that_are_given_again_are_seen_again(writer: JobWriter) -> None:
    """SQLite does so once the newest events are forgotten."""
    old, new = await writer.job(), await writer.job()
    await writer.note_many(old, numbers(0, 20))
    async with open_feed(writer.jobs) as feed, feed.reader(ALL) as reader:
        await writer.note(old, "seen")
        assert await taken(reader, 1) == ["seen"]
        await writer.jobs.forget([old.id])
        async with asyncio.timeout(30):
            while reader.cursor > 0:  # noqa: ASYNC110 - the feed's next look
                await asyncio.sleep(0.05)
        await writer.note(new, "again")
        assert await taken(reader, 1) == ["again"]


async def test_nobody_asks_the_store_while_nobody_reads(writer: JobWriter) -> None:
    asked: list[str] = []
    job = await writer.job()
    event.listen(writer.database.engine.sync_engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    async with open_feed(writer.jobs) as feed:
        async with feed.reader(ALL) as reader:
            await writer.note(job, "one")
            await taken(reader, 1)
        assert asked
        await asyncio.sleep(0.5)  # a look that had begun ends
        asked.clear()
        await asyncio.sleep(1)
        assert asked == []
        async with feed.reader(ALL) as reader:
            await writer.note(job, "two")
            assert await taken(reader, 1) == ["two"]


async def test_its_end_reaches_those_who_wait_and_those_who_come(writer: JobWriter) -> None:
    async with open_feed(writer.jobs) as feed:

        async def follow() -> None:
            async with feed.reader(ALL) as reader:
                reading.set()
                await reader.next()

        reading = asyncio.Event()
        following = asyncio.create_task(follow())
        await reading.wait()
        await feed.end(patience_s=30)
        with pytest.raises(FeedEnded):
            await following
        with pytest.raises(FeedEnded):
            async with feed.reader(ALL):
                pass


async def test_an_end_waits_no_longer_than_it_is_told_to(writer: JobWriter) -> None:
    async with open_feed(writer.jobs) as feed, feed.reader(ALL):
        await feed.end(patience_s=0.1)


async def test_a_store_that_is_away_for_a_while_ends_nobody(writer: JobWriter) -> None:
    """Another writer holds what SQLite's readers need: here the table itself is gone for a moment."""
    job = await writer.job()
    async with open_feed(writer.jobs) as feed, feed.reader(ALL) as reader:
        async with writer.database.writing() as session:
            await (await session.connection()).exec_driver_sql("ALTER TABLE job_events RENAME TO away")
        waiting = asyncio.create_task(taken(reader, 1))
        done, _ = await asyncio.wait({waiting}, timeout=1)
        assert not done
        async with writer.database.writing() as session:
            await (await session.connection()).exec_driver_sql("ALTER TABLE away RENAME TO job_events")
        await writer.note(job, "back")
        assert await waiting == ["back"]
