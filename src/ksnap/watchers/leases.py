"""Which server acts for a watcher: one row each, taken and kept by compare-and-set.

Servers need not agree on the time: a lease may be taken if its beat stood still for `lease_s` on the taker's own
clock. Whoever cannot move the beat in time stops by itself before another may begin.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import update

from ksnap.store.database import Database
from ksnap.store.tables import Watcher


@dataclass(frozen=True, slots=True)
class _Seen:
    holder: str
    beat: int
    since: float


class Leases:
    """One server's view of them."""

    def __init__(
        self, database: Database, server: str, *, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self.server = server
        self._lease_s = lease_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._kept: dict[str, float] = {}

    def holds(self, watcher: str) -> bool:
        """Whether this server may act. Some time is left for what is under way."""
        kept = self._kept.get(watcher)
        return kept is not None and self._clock() - kept < self._lease_s * 0.8

    async def hold(self, row: Watcher) -> bool:
        """Take the lease of a watcher, or keep it; False while another server has it."""
        now = self._clock()
        name = row.name
        kept = self._kept.get(name)
        if row.lease_holder == self.server and kept is not None and now - kept < self._lease_s / 3:
            return True
        if row.lease_holder not in {"", self.server}:
            seen = self._seen.get(name)
            if seen is None or (seen.holder, seen.beat) != (row.lease_holder, row.lease_beat):
                self._seen[name] = seen = _Seen(row.lease_holder, row.lease_beat, now)
            if now - seen.since < self._lease_s:
                self._kept.pop(name, None)
                return False
        if await self._moved(row, holder=self.server):
            self._kept[name] = now
            return True
        self._kept.pop(name, None)
        return False

    async def give_back(self, row: Watcher) -> None:
        """Let another server begin at once."""
        self._kept.pop(row.name, None)
        if row.lease_holder == self.server:
            await self._moved(row, holder="")

    async def _moved(self, row: Watcher, *, holder: str) -> bool:
        mine = update(Watcher).where(
            Watcher.name == row.name, Watcher.lease_holder == row.lease_holder, Watcher.lease_beat == row.lease_beat
        )
        async with self._database.writing() as session:
            result = await session.execute(mine.values(lease_holder=holder, lease_beat=row.lease_beat + 1))
        return bool(result.rowcount)  # type: ignore[attr-defined] # CursorResult, which execute's type does not say
