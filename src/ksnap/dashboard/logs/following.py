"""What is being written to the logs of one pod's containers, as it comes.

Each container has one read at the API server, which waits while nobody takes what it has: memory is bounded, and a
slow reader slows the kubelet's read, not this server. All ends with the block of `follow_logs`, the reads at once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import structlog

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.logs.lines import LogLine
from ksnap.dashboard.logs.pages import container_names, is_no_log_yet
from ksnap.dashboard.logs.places import Place, read_places, write_places
from ksnap.dashboard.logs.query import MOST_LINES, is_true, since_time_in, tail_lines_in
from ksnap.dashboard.logs.tail import Tail
from ksnap.errors import InvalidInput, KsnapError
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.logs import LogOptions, LogSilent, open_log
from ksnap.kube.pods import get_pod

ALL = "*"
DEFAULT_LINES = 100
MOST_CONTAINERS = 20
# A dead connection looks like a quiet log: after so long it is begun again, where it was.
SILENCE_S = 300.0
# A container that is waiting to start is asked for again so often.
WAITING_S = 2.0
# Refusals come at once. Of a quiet log nothing comes, not even the answer's head: that is no failure.
OPENING_S = 1.0
# Pieces that wait for the reader, of all containers; each is what one read gave, some 128 KiB at most.
QUEUED = 4

_log = structlog.get_logger(__name__)


class Lines(msgspec.Struct, frozen=True, tag_field="type", tag="lines"):
    """New lines of one container."""

    container: str
    logs: list[LogLine]
    id: str
    """The place behind them, in all containers."""


class Waiting(msgspec.Struct, frozen=True, tag_field="type", tag="waiting"):
    """A container has no log yet. Told once."""

    container: str
    message: str


class Ended(msgspec.Struct, frozen=True, tag_field="type", tag="ended"):
    """Nothing more comes from this instance of a container."""

    container: str


Event = Lines | Waiting | Ended


class AllEnded(Exception):
    """Every container's log has ended."""


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """What to follow, and from where."""

    containers: tuple[str, ...]
    """More than the one that the path names; `*` for all of the pod."""
    previous: bool = False
    tail_lines: int | None = None
    since_time: str | None = None
    places: Mapping[str, Place] = field(default_factory=dict)

    def options(self, container: str, place: Place | None) -> LogOptions:
        """A place wins over what else would say where to begin."""
        since_time = place.timestamp if place else self.since_time
        tail_lines = None if place else self.tail_lines
        if tail_lines is None and since_time is None:
            tail_lines = DEFAULT_LINES
        return LogOptions(
            container,
            previous=self.previous,
            timestamps=True,
            follow=True,
            tail_lines=tail_lines,
            since_time=since_time,
        )


def follow_query(given: Mapping[str, str], *, after: str = "") -> FollowQuery:
    """The query of a follower; `after` is the id that a browser sends by itself."""
    containers = tuple(part.strip() for part in given.get("containers", "").split(",") if part.strip())
    if len(containers) > MOST_CONTAINERS:
        raise InvalidInput(
            f"containers must be at most {MOST_CONTAINERS} names", details=f"{len(containers)} are given"
        )
    return FollowQuery(
        containers,
        is_true(given, "previous"),
        tail_lines_in(given, least=0, most=MOST_LINES),
        since_time_in(given),
        read_places(after or given.get("after", "")),
    )


class FollowedLogs:
    """Made by `follow_logs`."""

    def __init__(self, containers: Sequence[str], places: Mapping[str, Place]) -> None:
        self._running = set(containers)
        self._places = dict(places)
        self._queue: asyncio.Queue[tuple[Event, Place | None] | Exception] = asyncio.Queue(QUEUED)

    async def next(self) -> Event:
        """What comes next; AllEnded after the last, or why it cannot go on. May be cancelled at any moment."""
        if not self._running:
            raise AllEnded
        found = await self._queue.get()
        if isinstance(found, Exception):
            raise found
        event, place = found
        match event:
            case Ended():
                self._running.discard(event.container)
            case Lines() if place is not None:
                self._places[event.container] = place
                return Lines(event.container, event.logs, write_places(self._places))
        return event

    async def put(self, event: Event, place: Place | None = None) -> None:
        await self._queue.put((event, place))

    async def fail(self, error: Exception) -> None:
        await self._queue.put(error)


@dataclass(slots=True)
class _Source:
    """One container's log."""

    at: ClusterAsCaller
    namespace: str
    pod: str
    container: str
    query: FollowQuery
    into: FollowedLogs
    place: Place | None
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    refused: KsnapError | None = None

    async def run(self) -> None:
        """Until the log has ended; raises nothing, for what goes wrong is the reader's to know."""
        try:
            await self._read_on()
            await self.into.put(Ended(self.container))
        except KsnapError as error:
            self.refused = error
            self.opened.set()
            await self.into.fail(error)
        except Exception as error:  # noqa: BLE001 - the root of a task, whose reader learns of it
            _log.exception("log_follower_crashed")
            self.opened.set()
            await self.into.fail(error)

    async def _read_on(self) -> None:
        told = False
        while True:
            try:
                await self._read()
            except KubeRefusal as error:
                if not is_no_log_yet(error):
                    raise
                self.opened.set()
                if not told:
                    await self.into.put(Waiting(self.container, error.api_message))
                    told = True
                await asyncio.sleep(WAITING_S)
            except LogSilent:
                continue
            else:
                return

    async def _read(self) -> None:
        tail = Tail(self.place)
        options = self.query.options(self.container, self.place)
        async with open_log(self.at.api, self.namespace, self.pod, options, silence_s=SILENCE_S) as stream:
            self.opened.set()
            async for chunk in stream.iter_any():
                await self._give(tail.feed(chunk), tail)
            await self._give(tail.finish(), tail)

    async def _give(self, lines: list[LogLine], tail: Tail) -> None:
        self.place = tail.place
        if lines:
            await self.into.put(Lines(self.container, lines, ""), tail.place)


@asynccontextmanager
async def follow_logs(
    at: ClusterAsCaller, namespace: str, pod: str, container: str, query: FollowQuery
) -> AsyncIterator[FollowedLogs]:
    """The logs of a container, and of others of its pod, while the block lasts; refusals are raised before it."""
    containers = await _containers(at, namespace, pod, container, query)
    followed = FollowedLogs(containers, query.places)
    sources = [_Source(at, namespace, pod, each, query, followed, query.places.get(each)) for each in containers]
    # No task group: it would cancel whoever is in the block when one fails, and `run` cannot fail.
    tasks = [asyncio.create_task(each.run(), name=f"log of {each.container}") for each in sources]
    try:
        await _opened(sources)
        yield followed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _containers(at: ClusterAsCaller, namespace: str, pod: str, container: str, query: FollowQuery) -> list[str]:
    """Each once, the path's first."""
    others = query.containers
    if ALL in others:
        spec = (await get_pod(at.api, namespace, pod)).get("spec")
        others = (*container_names(spec, "initContainers"), *container_names(spec, "containers"))
    return list(dict.fromkeys((container, *others)))[:MOST_CONTAINERS]


async def _opened(sources: Sequence[_Source]) -> None:
    try:
        async with asyncio.timeout(OPENING_S):
            for each in sources:
                await each.opened.wait()
    except TimeoutError:
        pass
    for each in sources:
        if each.refused is not None:
            raise each.refused
