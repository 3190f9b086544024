"""What may be restored, in memory: the completed and pushed checkpoints of every workload, and those being made.

Admissions are answered from here alone. What this process' own jobs end is read at once, what other servers' jobs end
within a second: every change of a checkpoint comes with a progress event of its job, and those are numbered. Ids are
given out before transactions end, so some below the highest are looked at again; a look at everything each minute
finds what even so was missed.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Row, func, select

from ksnap.checkpoints.records import CheckpointStatus
from ksnap.errors import InvalidInput, KsnapError
from ksnap.hooks.decision import Known
from ksnap.hooks.tags import Tags
from ksnap.model.checkpoint_key import CheckpointKey, Slot, key_of_annotations
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job, JobEvent

LOOK_S = 1.0
WHOLE_EVERY_S = 60.0
# Progress events whose transactions may still have been open at the last look.
OVERLAP = 200
SETTLED_AFTER_S = 10.0
# SQL variables in one statement.
_AT_ONCE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkpoint that could be restored."""

    checkpoint_id: str
    image: str
    """host/repository@digest"""
    original_digest: str
    frozen_at: datetime


@dataclass(slots=True)
class _Made:
    """What is known of the checkpoints of one slot."""

    entries: list[Entry] = field(default_factory=list)
    """Newest first."""
    making: set[str] = field(default_factory=set)

    def drop(self, checkpoint_id: str) -> None:
        self.entries = [each for each in self.entries if each.checkpoint_id != checkpoint_id]
        self.making.discard(checkpoint_id)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.entries.sort(key=lambda each: (each.frozen_at, each.checkpoint_id), reverse=True)


class Catalog:
    """Of all clusters. `run` keeps it true."""

    def __init__(self, database: Database, tags: Tags) -> None:
        self._database = database
        self._tags = tags
        self._slots: dict[Slot, _Made] = defaultdict(_Made)
        self._keys: dict[str, CheckpointKey] = {}
        self._head = 0
        self._moved_at = 0.0
        self._whole_at = float("-inf")
        self._changed = asyncio.Event()
        self._told: set[str] = set()
        self._news = asyncio.Event()

    def find(self, slot: Slot, *, max_age_s: int = 0, now: datetime | None = None) -> Known | str:
        """The checkpoint to start from, or why there is none."""
        made = self._slots.get(slot)
        if made is None or not made.entries:
            return "a checkpoint is being made" if made and made.making else "there is no checkpoint of it"
        reason = ""
        for each in made.entries:
            if max_age_s and (now or datetime.now(UTC)) - each.frozen_at > timedelta(seconds=max_age_s):
                reason = reason or "its checkpoint is too old"
            elif not self._tags.allows(slot.image, each.original_digest):
                reason = reason or "its image's tag names another image than the one that was frozen"
            else:
                return Known(each.checkpoint_id, each.image, slot.image)
        return reason

    def is_being_made(self, slot: Slot) -> bool:
        made = self._slots.get(slot)
        return made is not None and bool(made.making)

    async def settled(self, slots: Collection[Slot], within_s: float) -> None:
        """Return when none of these is being made any more, or the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while any(self.is_being_made(each) for each in slots):
                    await self._changed.wait()
        except TimeoutError:
            return

    def tell(self, checkpoint_id: str) -> None:
        """A job of this process has changed a checkpoint: look at it now."""
        self._told.add(checkpoint_id)
        self._news.set()

    async def run(self) -> None:
        """Keep in step, for ever. A database that is away makes it older, no more."""
        while True:
            try:
                await self.look()
            except KsnapError as error:
                log.warning("hook_catalog_not_read", error=error.message, details=error.details)
                await asyncio.sleep(LOOK_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Take up what has changed."""
        self._news.clear()
        told, self._told = self._told, set()
        now = time.monotonic()
        try:
            if now - self._whole_at >= WHOLE_EVERY_S:
                await self._take_all()
                self._whole_at = now
                return
            changed = told | await self._changed_ids(now)
            if changed:
                await self._take(changed)
        except BaseException:
            self._told |= told
            raise

    async def _changed_ids(self, now: float) -> set[str]:
        async with self._database.reading() as session:
            head = await session.scalar(select(func.max(JobEvent.id))) or 0
            if head != self._head:
                self._moved_at = now
            elif now - self._moved_at > SETTLED_AFTER_S:
                return set()
            query = select(Job.checkpoint_id).join(JobEvent, JobEvent.job_id == Job.id)
            since = min(self._head, head) - OVERLAP
            found = await session.scalars(query.where(JobEvent.id > since).distinct())
            self._head = head
            return {each for each in found if each}

    async def _take_all(self) -> None:
        async with self._database.reading() as session:
            self._head = await session.scalar(select(func.max(JobEvent.id))) or 0
            ids = set(await session.scalars(select(Checkpoint.id).where(Checkpoint.status.in_(_OF_INTEREST))))
        await self._take(ids | set(self._keys))

    async def _take(self, ids: Collection[str]) -> None:
        """Read these checkpoints, and put each in its place; what is not there any more goes."""
        gone = set(ids)
        wanted = sorted(ids)
        for begin in range(0, len(wanted), _AT_ONCE):
            part = wanted[begin : begin + _AT_ONCE]
            await self._learn_keys([each for each in part if each not in self._keys])
            async with self._database.reading() as session:
                rows = (await session.execute(_STATES.where(Checkpoint.id.in_(part)))).all()
            for row in rows:
                if row.id in self._keys and row.status in _OF_INTEREST:
                    gone.discard(row.id)
                    self._put(row)
        self._forget(gone)
        self._tags.follow({slot.image for slot, made in self._slots.items() if made.entries})
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _learn_keys(self, ids: Collection[str]) -> None:
        if not ids:
            return
        async with self._database.reading() as session:
            rows = (await session.execute(select(Checkpoint.id, Checkpoint.key).where(Checkpoint.id.in_(ids)))).all()
        for row in rows:
            try:
                self._keys[row.id] = key_of_annotations(row.key)
            except InvalidInput as error:
                log.warning("hook_checkpoint_skipped", checkpoint=row.id, reason=error.details)

    def _put(self, row: Row[str, str, str | None, str | None, datetime]) -> None:
        key = self._keys[row.id]
        made = self._slots[key.slot]
        made.drop(row.id)
        if row.status == CheckpointStatus.RUNNING:
            made.making.add(row.id)
        elif row.image and row.image_digest:
            image = f"{row.image.rpartition(':')[0]}@{row.image_digest}"
            made.add(Entry(row.id, image, key.image_digest, row.created_at))

    def _forget(self, ids: Iterable[str]) -> None:
        for each in ids:
            key = self._keys.pop(each, None)
            if key is None:
                continue
            made = self._slots[key.slot]
            made.drop(each)
            if not made.entries and not made.making:
                del self._slots[key.slot]


_OF_INTEREST = (CheckpointStatus.RUNNING, CheckpointStatus.COMPLETED)
_STATES = select(Checkpoint.id, Checkpoint.status, Checkpoint.image, Checkpoint.image_digest, Checkpoint.created_at)
