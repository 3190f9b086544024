"""One capture as it stands: its journal entry, its events, and the way to stop it. The stages are in `stages.py`.

Every change that must survive goes through `save` or `enter`, which return when it is on the disk.
"""

import asyncio
from datetime import UTC, datetime

import structlog

from ksnap.agent.journal import Journal, JournalEntry, wire_error
from ksnap.errors import Conflict, InsufficientStorage, KsnapError
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.node.protocol import CaptureEvent, CaptureState, CaptureStatus, Confirmation, Stage

log = structlog.get_logger()

_CLEANING = frozenset({Stage.CLEANING, Stage.DONE})


def utc_now() -> datetime:
    return datetime.now(UTC)


class Capture:
    """What an agent knows of one capture. `task` is the work on it, while there is any."""

    def __init__(self, entry: JournalEntry, journal: Journal, events: list[CaptureEvent] | None = None) -> None:
        self.entry = entry
        self.task: asyncio.Task[None] | None = None
        self.confirmed = asyncio.Event()
        self.refused: KsnapError | None = None
        self.fetching = False
        self.active_at = utc_now()
        """When a fetch of the archive last moved."""
        self._journal = journal
        self._events = events or []
        if self._events:
            # Events reach their file before the entry is saved: the file may be ahead of it.
            entry.last_sequence = max(entry.last_sequence, self._events[-1].sequence)
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._cancel_asked = False
        self._revision = 0

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def cancel_asked(self) -> bool:
        """Whether its user cancelled it; a cancelled task without this is the agent's shutdown."""
        return self._cancel_asked

    def state(self) -> CaptureState:
        return self.entry.state()

    @property
    def waits_for_undo(self) -> bool:
        """Nobody works on it and the node holds something of it: interrupted, or its undo failed."""
        return self.entry.status is CaptureStatus.INTERRUPTED or (
            self.entry.status.ended and self.entry.is_left_on_node
        )

    @property
    def is_left_in_registry(self) -> bool:
        """It came to nothing and the registry still has, or may have, something of it."""
        return self.entry.status is not CaptureStatus.SUCCEEDED and self.state().is_left_in_registry

    def cancel(self) -> None:
        """Ask the work to stop and undo; asking twice is asking once. What is being undone is let finish."""
        if self._cancel_asked or self.entry.error is not None or self.task is None or self.task.done():
            return
        self._cancel_asked = True
        self.task.cancel()

    async def save(self) -> None:
        """Put the entry on the disk. Cleaning goes on without: it is what frees a disk that is full."""
        try:
            await asyncio.to_thread(self._journal.save, self.id, *self._text())
        except InsufficientStorage as error:
            if self.entry.error is None and self.entry.stage not in _CLEANING:
                raise
            log.warning("entry_not_journaled", capture=self.id, reason=error.details)

    def save_at_once(self) -> None:
        """The same, for a caller that must not go on before, and cannot wait."""
        self._journal.save(self.id, *self._text())

    async def enter(self, stage: Stage, message: str = "") -> None:
        """Go to a stage: on the disk first, then told."""
        self.entry.stage = stage
        await self.tell(message)
        await self.save()

    async def end(self, status: CaptureStatus, message: str = "") -> None:
        """The capture's end; whoever waits for events gets the last one and the end of the stream."""
        self.entry.stage = Stage.DONE
        # The event first: a reader that saw the status would leave without it.
        await self.tell(message or status.value)
        self.entry.status = status
        await self.save()
        self._wake()

    async def tell(self, message: str = "", *, done: int | None = None, total: int | None = None) -> None:
        """Add an event at the present stage."""
        async with self._lock:
            event = CaptureEvent(
                sequence=self.entry.last_sequence + 1,
                at=utc_now(),
                stage=self.entry.stage,
                message=message,
                bytes_done=done,
                bytes_total=total,
            )
            await asyncio.to_thread(self._journal.append_event, self.id, event)
            self.entry.last_sequence = event.sequence
            self._events.append(event)
        self._wake()

    async def interrupt(self) -> None:
        """The agent ends: for the next one the journal says where the work stood, on a full disk as it last could."""
        self.entry.status = CaptureStatus.INTERRUPTED
        try:
            await self.save()
        except InsufficientStorage as error:
            log.warning("entry_not_journaled", capture=self.id, reason=error.details)
        self._wake()

    def give_up(self, error: KsnapError) -> None:
        """End it in memory alone, after a failure that even its undo did not survive; the next agent tries again."""
        self.note_error(error)
        self.entry.status = CaptureStatus.FAILED
        self._wake()

    def note_error(self, error: KsnapError) -> None:
        """Remember why it fails; the end comes later, when all is undone."""
        self.entry.error = wire_error(error)

    def drop_events(self) -> None:
        """Keep the last event alone: nobody followed for long, and a node remembers many captures."""
        del self._events[:-1]

    def events_after(self, sequence: int) -> list[CaptureEvent]:
        return [event for event in self._events if event.sequence > sequence]

    @property
    def is_over(self) -> bool:
        """No event follows until somebody repeats the PUT: it has ended, or waits for that."""
        return self.entry.status is not CaptureStatus.RUNNING

    async def changed(self, timeout_s: float) -> bool:
        """Wait for an event or the end, at most so long; False if neither came."""
        waiter = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.wait()
        except TimeoutError:
            return False
        return True

    def confirm(self, confirmation: Confirmation) -> None:
        """The server has the archive; Conflict if it is not the one that was sent."""
        facts = self.entry.facts
        if self.entry.stage is not Stage.AWAITING_FETCH or facts is None:
            raise Conflict(
                "The archive was not fetched",
                details=f"capture {self.id} is at {self.entry.stage}",
                hint="Fetch the whole archive first",
            )
        if not _is_same(confirmation, facts):
            raise Conflict(
                "What was stored is not what the agent sent",
                details=f"stored {confirmation.size_bytes} bytes {confirmation.digest}; sent {facts.compressed_bytes} "
                f"bytes {facts.compressed_digest}, of an archive of {facts.size_bytes} bytes {facts.digest}",
                hint="Fetch the archive again",
            )
        self.confirmed.set()
        self._wake()

    def refuse(self, error: KsnapError) -> None:
        """The archive turned out to be bad while it was fetched: the work ends with this."""
        self.refused = error
        self._wake()

    def _text(self) -> tuple[str, int]:
        self.entry.changed_at = utc_now()
        self._revision += 1
        return self.entry.model_dump_json(), self._revision

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _is_same(confirmation: Confirmation, facts: ArchiveFacts) -> bool:
    """A server names what it stores: the compressed stream as it came, or the archive in it."""
    named = (confirmation.digest, confirmation.size_bytes)
    return named in {(facts.digest, facts.size_bytes), (facts.compressed_digest, facts.compressed_bytes)}
