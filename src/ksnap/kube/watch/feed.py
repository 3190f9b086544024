"""The changes of one cache, for several readers at once, each with a bounded queue.

A reader that does not keep up loses its queue and is told so: it has to look at the cache as a whole again.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Final, Generic, Literal, TypeVar

from ksnap.errors import KsnapError
from ksnap.kube.watch.objects import Change
from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)
# A burst of some seconds of a busy cluster.
QUEUE = 2000


class Marker(Enum):
    RESYNC = "resync"


RESYNC: Final = Marker.RESYNC
"""Changes were lost: read the cache anew. What comes after it are changes since."""
News = Change[R] | Literal[Marker.RESYNC]


class Subscription(Generic[R]):
    """One reader's queue."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[Change[R]] = deque()
        self._lost = False
        self._arrived = asyncio.Event()
        self._ended: KsnapError | None = None

    async def next(self) -> Sequence[News[R]]:
        """What has come since the last call, at least one piece; may be cancelled without loss. Raises the error the
        cache ended with."""
        while not self._queue and not self._lost:
            if self._ended is not None:
                raise self._ended
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()

    def take(self) -> Sequence[News[R]]:
        """The same without waiting; maybe nothing."""
        first: list[News[R]] = [RESYNC] if self._lost else []
        found = first + list(self._queue)
        self._queue.clear()
        self._lost = False
        return found

    def put(self, change: Change[R]) -> None:
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self._lost = True
            self._arrived.set()
            return
        self._queue.append(change)
        self._arrived.set()

    def end(self, error: KsnapError) -> None:
        self._ended = error
        self._arrived.set()


class Feed(Generic[R]):
    """All readers of one cache."""

    def __init__(self) -> None:
        self._readers: set[Subscription[R]] = set()

    def __len__(self) -> int:
        return len(self._readers)

    @contextmanager
    def subscribe(self, limit: int = QUEUE) -> Iterator[Subscription[R]]:
        reader: Subscription[R] = Subscription(limit)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def tell(self, changes: Sequence[Change[R]]) -> None:
        for reader in self._readers:
            for each in changes:
                reader.put(each)

    def end(self, error: KsnapError) -> None:
        for reader in self._readers:
            reader.end(error)
