"""One resource of one cluster in memory, kept in step by a watch. `run` is its task; readers use the rest.

What readers may rely on: the records are those of one moment of the API server's, never a part of a list; after a
failure they stay as they were until the cache is in step again, for a bounded time; then readers get the error.
"""

import asyncio
import copy
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import structlog

from ksnap.errors import KsnapError, NotFound, Unavailable
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import ClusterTimedOut, ClusterUnreachable
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.feed import Feed, Subscription
from ksnap.kube.watch.objects import Change, Objects
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.requests import PAGE, VersionGone, current_version, list_all, watch_lines
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings
from ksnap.model.backoff import Backoff

R = TypeVar("R", bound=Record)
log = structlog.get_logger(__name__)

_BACKOFF = Backoff(first_s=0.5, longest_s=15.0)
# A watch that ends at once, by a proxy's fault, is not begun again at once.
_LEAST_S = 1.0
# A watch that has lasted so long was a good one: what failed before is forgotten.
_GOOD_S = 10.0
# A busy resource passes any version within this; a quiet one is listed anew instead.
_REACH_S = 0.2


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How caches behave."""

    idle_s: float = 300.0
    """A cache that nobody has read for so long ends."""
    fill_s: float = 20.0
    """How long a reader waits for the first list."""
    stale_s: float = 60.0
    """How long a cache that is out of step is still read from."""
    silence_s: float = 90.0
    """A watch on which nothing comes for so long is begun again. Bookmarks come every minute."""
    page: int = PAGE
    """Objects in one page of the first list."""


class WatchCache(Generic[R]):
    """Made and run by `WatchCaches`."""

    def __init__(
        self,
        connection: ClusterConnection,
        resource: Resource[R],
        settings: WatchSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.objects: Objects[R] = Objects()
        self.used_at = clock()
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._decoder = Decoder(resource, Strings())
        self._feed: Feed[R] = Feed()
        self._version = ""
        self._lists = 0
        """How many lists were begun; `_listed` is the last that was finished, `_wanted` the one that readers need."""
        self._listed = 0
        self._wanted = 1
        self._trouble: KsnapError | None = None
        self._contact_at = clock()
        """When the API server was last heard of, as far as this cache goes."""
        self._lost_at: float | None = None
        self._failures = 0
        self._interruptible: asyncio.Timeout | None = None
        self._news = asyncio.Event()

    # For readers

    async def ready(self) -> None:
        """Return when there is something true to read. The error that the cache has met if there is not."""
        self.used_at = self._clock()
        await self._listed_once(1)
        gone = isinstance(self._trouble, NotFound)  # the resource itself: its definition was deleted
        if (gone or self.age_s > self._settings.stale_s) and (trouble := _again(self._trouble)):
            raise trouble

    async def fresh(self) -> None:
        """Return when the cache holds all that had happened before this call (`Cache-Control: no-cache`)."""
        await self.ready()
        wanted = self._lists + 1
        version = await current_version(self._connection, self.resource, self._decoder)
        if await self._reaches(version):
            return
        # Versions of a quiet resource do not move though nothing is missing; only a list can tell.
        self._wanted = max(self._wanted, wanted)
        if self._lists < wanted and self._interruptible is not None:
            self._interruptible.reschedule(asyncio.get_running_loop().time())
        await self._listed_once(wanted)

    async def _listed_once(self, number: int) -> None:
        """Wait for the list of this number or a later one, within the deadline, and while there is hope."""
        try:
            async with asyncio.timeout(self._settings.fill_s):
                while self._listed < number and not _is_lasting(self._trouble):
                    await self._news.wait()
        except TimeoutError:
            raise _again(self._trouble) or ClusterUnreachable(
                "The list is not complete yet",
                details=f"{self.resource} in cluster {self._connection.name}",
                hint="Try again in a moment; raise watch_fill_s for a very large cluster",
            ) from None
        if self._listed < number and (trouble := _again(self._trouble)):
            raise trouble

    @property
    def age_s(self) -> float:
        """Seconds since the cache was last in step; 0 while it is."""
        return 0.0 if self._lost_at is None else self._clock() - self._lost_at

    @property
    def version(self) -> str:
        """The resource version that the records are of."""
        return self._version

    def subscribe(self, limit: int = 2000) -> AbstractContextManager[Subscription[R]]:
        """Changes from now on; see `feed`."""
        return self._feed.subscribe(limit)

    @property
    def subscribers(self) -> int:
        return len(self._feed)

    # For the owner

    async def run(self) -> None:
        """Keep in step, for ever."""
        while True:
            began = self._clock()
            pause = _LEAST_S
            try:
                if not self._version or self._listed < self._wanted:
                    await self._list()
                if await self._watch():
                    continue
            except VersionGone as error:
                self._version = ""
                self._lost(error)
            except KsnapError as error:
                pause = self._stumbled(error)
            except Exception:
                # The root of this work: nobody would watch any more.
                log.exception("watch_crashed", cluster=self._connection.name, resource=str(self.resource))
                self._version = ""
                pause = self._stumbled(Unavailable("The watch has failed", details=str(self.resource)))
            await asyncio.sleep(max(0.0, pause - (self._clock() - began)))

    def end(self, error: KsnapError) -> None:
        """Nobody keeps this cache in step any more."""
        self._trouble = error
        self._lost_at = float("-inf")
        self._feed.end(error)
        self._wake()

    def _lost(self, error: KsnapError) -> None:
        """From now on the records are how it was when the API server was last heard of."""
        self._trouble = error
        if self._lost_at is None:
            self._lost_at = self._contact_at
        self._wake()

    def _stumbled(self, error: KsnapError) -> float:
        self._lost(error)
        self._failures += 1
        pause = _BACKOFF.wait_s(self._failures, chance=random.random())  # noqa: S311 # spreads caches, hides nothing
        log.warning(
            "watch_failed",
            cluster=self._connection.name,
            resource=str(self.resource),
            reason=error.message,
            details=error.details,
            again_in_s=round(pause, 1),
        )
        return pause

    async def _list(self) -> None:
        self._lists += 1
        number = self._lists
        version, records = await list_all(self._connection, self.resource, self._decoder, page=self._settings.page)
        changes = self.objects.replace(records)
        self._version = version
        self._listed = number
        self._in_step()
        self._feed.tell(changes)
        log.info("watch_listed", cluster=self._connection.name, resource=str(self.resource), objects=len(records))

    async def _watch(self) -> bool:
        """One watch, to its end. Whether the next one, or a list that a reader needs, is due at once."""
        lines = watch_lines(self._connection, self.resource, self._version, silence_s=self._settings.silence_s)
        began, accepted = self._clock(), False
        try:
            async with asyncio.timeout(None) as self._interruptible, aclosing(lines):
                async for line in lines:
                    accepted = True
                    self._take(line)
        except TimeoutError:
            return True
        except ClusterTimedOut:
            # Silence may be an API server without bookmarks: the next watch shows whether it is still there.
            if not accepted:
                raise
            return True
        except KsnapError:
            self._contact_at = self._clock() if accepted else self._contact_at
            raise
        finally:
            self._interruptible = None
            if self._clock() - began > _GOOD_S:
                self._failures = 0
        self._contact_at = self._clock()
        return False

    def _take(self, line: bytes) -> None:
        self._in_step()
        if not line:
            return
        try:
            change = self._change(line)
        except msgspec.DecodeError as error:
            raise ClusterUnreachable(
                "The API server's watch is not understood", details=f"{self.resource}: {error}"
            ) from error
        if change is not None:
            self._feed.tell((change,))
        self._wake()

    def _change(self, line: bytes) -> Change[R] | None:
        kind, subject = self._decoder.event(line)
        if kind == "ERROR":
            status = self._decoder.status(subject)
            if status.code == 410:
                raise VersionGone("The watch is too old", details=str(self.resource))
            raise ClusterUnreachable(
                "The API server ended the watch", details=f"{self.resource}: {status.message[:300]}"
            )
        if kind == "BOOKMARK":
            self._version = self._decoder.version(subject)
            return None
        record = self._decoder.record(subject)
        self._version = record.metadata.resource_version
        return self.objects.remove(record.key, record) if kind == "DELETED" else self.objects.put(record)

    def _in_step(self) -> None:
        self._contact_at = self._clock()
        self._trouble, self._lost_at = None, None
        self._wake()

    async def _reaches(self, version: str) -> bool:
        """Whether the watch passes a version soon. Versions are ordered numbers (KEP-5504)."""
        if not version.isdigit():
            return False
        try:
            async with asyncio.timeout(_REACH_S):
                while not self._version.isdigit() or int(self._version) < int(version):
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        """Let everyone who waits for news look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()


def _again(trouble: KsnapError | None) -> KsnapError | None:
    """The error for one more reader: an exception that is raised twice carries both traces, and so on for ever."""
    return copy.copy(trouble)


def _is_lasting(trouble: KsnapError | None) -> bool:
    """Whether waiting is in vain: a missing right, an unknown resource."""
    return trouble is not None and not isinstance(trouble, ClusterUnreachable)
