"""Changes for several readers: complete for those who keep up, a marker for who does not."""

import asyncio

import pytest

from ksnap.errors import Unavailable
from ksnap.kube.watch.feed import RESYNC, Feed
from ksnap.kube.watch.objects import Change
from ksnap.kube.watch.records import Metadata, Record


def changes(first: int, last: int) -> list[Change[Record]]:
    return [Change("added", None, Record(Metadata(name=str(number)))) for number in range(first, last)]


async def test_each_reader_gets_all() -> None:
    feed: Feed[Record] = Feed()
    with feed.subscribe() as one, feed.subscribe() as other:
        some = changes(0, 3)
        feed.tell(some)
        assert list(await one.next()) == some
        more = changes(3, 5)
        feed.tell(more)
        assert list(await one.next()) == more
        assert list(await other.next()) == some + more
    assert len(feed) == 0


async def test_a_slow_reader_is_told_to_look_again() -> None:
    feed: Feed[Record] = Feed()
    with feed.subscribe(limit=10) as slow, feed.subscribe(limit=100) as quick:
        feed.tell(changes(0, 25))
        rest = changes(25, 27)
        feed.tell(rest)
        first, *others = await slow.next()
        assert first is RESYNC
        assert others[-2:] == rest
        assert len(others) < 10
        assert len(await quick.next()) == 27
        feed.tell(rest)
        assert list(await slow.next()) == rest


async def test_a_cancelled_wait_loses_nothing() -> None:
    feed: Feed[Record] = Feed()
    with feed.subscribe() as reader:
        waiting = asyncio.ensure_future(reader.next())
        await asyncio.sleep(0)
        waiting.cancel()
        some = changes(0, 1)
        feed.tell(some)
        assert list(await reader.next()) == some


async def test_the_end_is_told_after_the_rest() -> None:
    feed: Feed[Record] = Feed()
    with feed.subscribe() as reader:
        some = changes(0, 1)
        feed.tell(some)
        feed.end(Unavailable("ended"))
        assert list(await reader.next()) == some
        with pytest.raises(Unavailable):
            await reader.next()
