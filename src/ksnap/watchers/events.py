"""What a watcher did and why it did not, per pod, in the database; bounded, and without repetition."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import delete, select

from ksnap.store.database import Database
from ksnap.store.tables import WatcherEvent

# Of each watcher: some days of a busy cluster.
KEPT = 5000
# How often old ones are looked for, in events that were written.
SWEEP_EVERY = 200
MESSAGE_LIMIT = 2000


class Told(StrEnum):
    """What an event says."""

    IGNORED = "ignored"
    WAITING = "waiting"
    FREEZING = "freezing"
    FROZEN = "frozen"
    EXISTS = "exists"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    KEPT = "pod_kept"
    DELETED = "pod_deleted"


@dataclass(frozen=True, slots=True)
class PodId:
    """Which pod, and which of its containers; empty: all of it."""

    namespace: str
    name: str
    uid: str
    container: str = ""


class WatcherEvents:
    """Reads and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written = 0

    async def tell(self, watcher: str, pod: PodId, event: Told, message: str, *, job_id: str | None = None) -> None:
        """Write one down, unless it is what was said of the container last."""
        cut = message[:MESSAGE_LIMIT]
        last = (
            select(WatcherEvent)
            .where(
                WatcherEvent.watcher_name == watcher,
                WatcherEvent.pod_uid == pod.uid,
                WatcherEvent.container_name == pod.container,
            )
            .order_by(WatcherEvent.id.desc())
            .limit(1)
        )
        async with self._database.writing() as session:
            before = await session.scalar(last)
            if before is not None and (before.event, before.message) == (event.value, cut):
                return
            session.add(
                WatcherEvent(
                    watcher_name=watcher, at=datetime.now(UTC), event=event.value, namespace=pod.namespace,
                    pod_name=pod.name, pod_uid=pod.uid, container_name=pod.container, message=cut, job_id=job_id,
                )
            )  # fmt: skip
        self._written += 1
        if self._written % SWEEP_EVERY == 0:
            await self.sweep(watcher)

    async def list(
        self, watcher: str, *, namespace: str | None, pod: str | None, after: int, limit: int
    ) -> Sequence[WatcherEvent]:
        """Newest first, after an id."""
        query = select(WatcherEvent).where(WatcherEvent.watcher_name == watcher, WatcherEvent.id > after)
        if namespace is not None:
            query = query.where(WatcherEvent.namespace == namespace)
        if pod is not None:
            query = query.where(WatcherEvent.pod_name == pod)
        async with self._database.reading() as session:
            return (await session.scalars(query.order_by(WatcherEvent.id.desc()).limit(limit))).all()

    async def sweep(self, watcher: str, *, keep: int = KEPT) -> None:
        """Remove the oldest beyond the bound."""
        of_it = select(WatcherEvent.id).where(WatcherEvent.watcher_name == watcher)
        async with self._database.writing() as session:
            oldest = await session.scalar(of_it.order_by(WatcherEvent.id.desc()).offset(keep).limit(1))
            if oldest is not None:
                gone = delete(WatcherEvent).where(WatcherEvent.watcher_name == watcher, WatcherEvent.id <= oldest)
                await session.execute(gone)
