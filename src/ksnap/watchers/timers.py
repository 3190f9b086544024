"""All that one watcher waits for by the clock, in one heap."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Gives each thing back when its time has come. A thing that is set twice comes twice."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, T]] = []
        self._order = itertools.count()
        self._news = asyncio.Event()

    def set(self, at: datetime, what: T) -> None:
        heapq.heappush(self._heap, (at, next(self._order), what))
        self._news.set()

    async def run(self, due: Callable[[T], None]) -> None:
        """Call `due` for each, for ever."""
        while True:
            self._news.clear()
            now = datetime.now(UTC)
            while self._heap and self._heap[0][0] <= now:
                due(heapq.heappop(self._heap)[2])
            wait_s = (self._heap[0][0] - now).total_seconds() if self._heap else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue
