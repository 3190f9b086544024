"""The live progress of all jobs: one look at the store for all readers of a server, and a place in it for each reader.

Every server of an installation writes events, so each looks into the store for what is new, a few times a second and
only while somebody reads. The newest events are kept in one window that all readers share; a reader is no more than
the id of the last event it took. One that has fallen behind the window, or comes back after a while, reads the store
in pages until it has caught up. So nobody waits for a slow reader, none needs memory of its own, and a burst costs a
fast one nothing. How long a reader may take to be rid of what it has taken is its connection's matter.

Ids are given out before transactions end: on PostgreSQL a lower one may appear after a higher one. An event behind a
gap waits until the gap is filled, or `GAP_S` has passed: then that number was given to a transaction that failed.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Never

import structlog

from ksnap.checkpoints.job_log import FeedEvent, JobLog, Wanted
from ksnap.errors import KsnapError, Unavailable

LOOK_S = 0.25
# A transaction that writes an event does little else; one of SQLite's ends before the next one begins.
GAP_S = 1.0
# What was written so recently when the feed begins may stand beside ids that are not to be seen yet.
SETTLED_AFTER = timedelta(seconds=10)
# Some megabytes; a burst that is longer is read from the store by those who are not so fast.
WINDOW = 5000
PAGE = 500
# What a reader is given at once out of the window: it lets others have a turn after each.
BATCH = 100

_log = structlog.get_logger(__name__)


class FeedEnded(Unavailable):
    """The server ends: come back, with the last id, to the one that takes its place."""

    def __init__(self) -> None:
        super().__init__("The server is stopping", hint="Connect again in a moment, with the last id")


class FeedReader:
    """One reader's place. `next` may be cancelled at any moment: the place moves only when it answers."""

    def __init__(self, feed: "ProgressFeed", wanted: Wanted, cursor: int) -> None:
        self._feed = feed
        self._wanted = wanted
        self.cursor = cursor
        """The id of the last event that was taken or passed over."""

    async def next(self) -> Sequence[FeedEvent]:
        """Some events, at least one, in the order of their ids; FeedEnded when the server ends."""
        while True:
            found = await self._feed.read(self._wanted, self.cursor)
            if found is None:
                await self._feed.changed()
                continue
            events, self.cursor = found
            if events:
                return events


class ProgressFeed:
    """Made by `open_feed`, which runs it."""

    def __init__(self, jobs: JobLog, *, window: int = WINDOW, gap_s: float = GAP_S) -> None:
        self._jobs = jobs
        self._size = window
        self._gap_s = gap_s
        self._window: list[FeedEvent] = []
        self._floor = 0
        """Every event above this id and up to the head is in the window."""
        self._head = 0
        """The highest id that readers may see."""
        self._first_seen: dict[int, float] = {}
        self._readers: set[FeedReader] = set()
        self._begun = False
        self._turn = asyncio.Lock()
        self._needed = asyncio.Event()
        self._nobody_reads = asyncio.Event()
        self._nobody_reads.set()
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def reader(self, wanted: Wanted, *, after: int | None = None) -> AsyncIterator[FeedReader]:
        """A place behind the event `after`, or behind all that there are; given back at the block's end."""
        await self._begin()
        last = await self._jobs.last_event_id()
        # An id that was never given out, or one from before the store was put back, must not wait for ever.
        with self._counted(FeedReader(self, wanted, last if after is None else min(after, last))) as place:
            yield place

    async def read(self, wanted: Wanted, cursor: int) -> tuple[Sequence[FeedEvent], int] | None:
        """The next events behind a place, and the place behind them; None if there are none yet."""
        if self._ended.is_set():
            raise FeedEnded
        head = self._head
        if cursor >= head:
            return None
        if cursor >= self._floor:
            begin = bisect_right(self._window, cursor, key=lambda each: each.id)
            batch = self._window[begin : begin + BATCH]
            reached = batch[-1].id if len(batch) == BATCH else head
            return [each for each in batch if wanted.takes(each)], reached
        events = await self._jobs.events_of_all(wanted, after=cursor, up_to=head, limit=PAGE)
        return events, min(events[-1].id if len(events) == PAGE else head, self._head)

    async def changed(self) -> None:
        """Wait for news."""
        await self._news.wait()

    async def ends(self) -> Never:
        """Wait for FeedEnded; for those who are busy with what they have taken."""
        await self._ended.wait()
        raise FeedEnded

    async def end(self, patience_s: float) -> None:
        """Tell all readers that the server ends, and wait a while for them to go."""
        self._ended.set()
        self._tell()
        try:
            async with asyncio.timeout(patience_s):
                await self._nobody_reads.wait()
        except TimeoutError:
            _log.warning("progress_readers_left", readers=len(self._readers))

    async def run(self) -> None:
        """Look for news while somebody reads; never ends by itself."""
        while True:
            await self._needed.wait()
            try:
                async with self._turn:
                    await self._look(time.monotonic())
            except KsnapError as error:
                _log.warning("progress_not_read", error=error.message, details=error.details)
            except Exception:  # noqa: BLE001 - the root of a task that all readers live by
                _log.exception("progress_look_crashed")
            await asyncio.sleep(LOOK_S)

    @contextmanager
    def _counted(self, reader: FeedReader) -> Iterator[FeedReader]:
        self._readers.add(reader)
        self._nobody_reads.clear()
        self._needed.set()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._nobody_reads.set()
                self._needed.clear()
                self._begun = False

    async def _begin(self) -> None:
        """Start at what is settled for sure; what is newer passes through `_look` like all that comes."""
        if self._ended.is_set():
            raise FeedEnded
        async with self._turn:
            if self._begun:
                return
            newest = await self._jobs.newest_events(PAGE)
            settled = datetime.now(UTC) - SETTLED_AFTER
            young = next((index for index, each in enumerate(newest) if each.at > settled), len(newest))
            if young > 0:
                self._head = newest[young - 1].id
            else:
                self._head = newest[0].id - 1 if newest else 0
            self._floor, self._window, self._first_seen = self._head, [], {}
            self._begun = True

    async def _look(self, now: float) -> None:
        while True:
            last = await self._jobs.last_event_id()
            if last < self._head:
                self._fall_back(last)
            if last <= self._head:
                return
            page = await self._jobs.events_of_all(Wanted(), after=self._head, limit=PAGE)
            seen = self._released(page, now)
            if seen:
                self._keep(seen)
                self._tell()
            if len(seen) < PAGE:
                return

    def _released(self, page: Sequence[FeedEvent], now: float) -> list[FeedEvent]:
        """The events of a page up to the first gap that may yet be filled."""
        self._first_seen = {each.id: self._first_seen.get(each.id, now) for each in page}
        released: list[FeedEvent] = []
        expected = self._head + 1
        for each in page:
            if each.id != expected and now - self._first_seen[each.id] < self._gap_s:
                break
            released.append(each)
            expected = each.id + 1
        return released

    def _keep(self, events: list[FeedEvent]) -> None:
        self._window += events
        self._head = events[-1].id
        if len(self._window) > self._size:
            over = len(self._window) - self._size
            self._floor = self._window[over - 1].id
            del self._window[:over]

    def _fall_back(self, last: int) -> None:
        """SQLite gives the ids of the newest events again once those are forgotten."""
        self._head = self._floor = last
        self._window.clear()
        for each in self._readers:
            each.cursor = min(each.cursor, last)

    def _tell(self) -> None:
        """Wake all who wait now; who comes later waits for the next news, which an end makes the last."""
        self._news.set()
        if not self._ended.is_set():
            self._news = asyncio.Event()


@asynccontextmanager
async def open_feed(jobs: JobLog, *, window: int = WINDOW, gap_s: float = GAP_S) -> AsyncIterator[ProgressFeed]:
    """The feed of one server, at work."""
    feed = ProgressFeed(jobs, window=window, gap_s=gap_s)
    # No task group: it would wrap whatever is raised within the block, which is the server's whole life. `run` cannot
    # fail by itself.
    looking = asyncio.create_task(feed.run(), name="progress-feed")
    try:
        yield feed
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
