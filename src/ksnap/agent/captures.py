"""All captures of this node, and the one task group that owns the work on them.

`async with Captures(...)`: entering reads the journal and goes on with what needs no credentials; leaving cancels the
work, whose entries then stand in the journal for the next agent. Nothing here knows HTTP.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

from ksnap.agent import transfer
from ksnap.agent.capture import Capture, utc_now
from ksnap.agent.direct_freeze import DirectFreezes
from ksnap.agent.dump import Dumping
from ksnap.agent.evidence import bare_container_id
from ksnap.agent.journal import Journal, JournalEntry, without_credentials
from ksnap.agent.kubelet import Kubelet
from ksnap.agent.metrics import RUNNING
from ksnap.agent.settings import AgentSettings
from ksnap.agent.stages import CaptureWork, Slots
from ksnap.errors import CheckpointFailed, Conflict, JobCancelled, KsnapError, NotFound, Unavailable
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureRequest, CaptureState, CaptureStatus, Confirmation, Stage

log = structlog.get_logger()

# How long a DELETE waits for the end of what it stops; a dump may take longer, and the caller then asks again.
_CANCEL_PATIENCE_S = 25.0
# How long it then works on the registry; with the patience above it answers before its caller takes it for dead.
_REGISTRY_PATIENCE_S = 25.0
# An agent that remembers so many captures forgets the oldest ended one for each new one; if all of them are still
# under way it refuses new ones: something does not end them.
_CAPTURES_LIMIT = 1000


class Captures:
    """The captures by id. All methods are for the event loop."""

    def __init__(self, settings: AgentSettings, kubelet: Kubelet) -> None:
        self._settings = settings
        self._journal = Journal(settings.state_dir)
        self._captures: dict[str, Capture] = {}
        self._group = asyncio.TaskGroup()
        self.freezes = DirectFreezes(settings.state_dir)
        slots = Slots(asyncio.Semaphore(settings.max_dumps), asyncio.Semaphore(settings.max_transfers))
        self._work = CaptureWork(settings, Dumping(settings, kubelet, self.freezes, self._group), slots)
        self._stack = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> "Captures":
        await asyncio.to_thread(self._journal.prepare)
        await self._stack.enter_async_context(self._group)
        entries = await asyncio.to_thread(lambda: list(self._journal.entries()))
        await self.freezes.open(entries)
        for entry in entries:
            await self._recover(entry)
        self._sweeper = self._group.create_task(self._sweep(), name="sweep")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.interrupt()
        await self._stack.aclose()

    async def interrupt(self) -> None:
        """The agent ends: the work is cut off where it stands; the journal has it. Nothing new is taken after this."""
        self._closing = True
        self._sweeper.cancel()
        running = {each.task: each for each in self._captures.values() if each.task and not each.task.done()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for capture in running.values():
            if not capture.entry.status.ended:
                await capture.interrupt()
                log.info("capture_interrupted", capture=capture.id, stage=capture.entry.stage.value)

    def states(self) -> list[CaptureState]:
        return [each.state() for each in self._captures.values()]

    def get(self, capture_id: str) -> Capture:
        """The capture, or NotFound."""
        found = self._captures.get(capture_id)
        if found is None:
            raise NotFound("Capture not found", details=f"no capture {capture_id!r} on this node")
        return found

    async def put(self, capture_id: str, request: CaptureRequest) -> CaptureState:
        """Start a capture, resume an interrupted one, or just answer."""
        bare_container_id(request.container_id)
        if self._closing:
            raise Unavailable("The agent is ending", hint="Try again in some seconds")
        capture = self._captures.get(capture_id)
        if capture is None:
            return await self._start(capture_id, request)
        if not _same(capture.entry.request, request):
            raise Conflict(
                "A capture of this id has another request",
                details=capture_id,
                hint="Repeat the request as it was, or choose another id",
            )
        if capture.entry.status is CaptureStatus.INTERRUPTED:
            capture.entry.status = CaptureStatus.RUNNING
            log.info("capture_resumed", capture=capture_id, stage=capture.entry.stage.value)
            self._spawn(capture, self._work.run(capture, request))
        return capture.state()

    def confirm(self, capture_id: str, confirmation: Confirmation) -> Capture:
        capture = self.get(capture_id)
        if capture.entry.status is not CaptureStatus.SUCCEEDED:
            capture.confirm(confirmation)
        return capture

    async def delete(self, capture_id: str, registry: RegistryAccess | None) -> CaptureState:
        """Cancel, undo, forget. Returns when that is done, or, with a state that runs, when it takes too long.

        What could not be removed from the registry is not forgotten: the state names it, and a repeated DELETE tries
        again. What could not be removed from the node is an error.
        """
        capture = self._captures.get(capture_id)
        if capture is None:
            return CaptureState(id=capture_id, status=CaptureStatus.CANCELLED, stage=Stage.DONE, last_sequence=0)
        if capture.waits_for_undo:
            self._undo(capture, registry, JobCancelled("The checkpoint was cancelled"))
        else:
            capture.cancel()
        if capture.task is not None:
            await asyncio.wait({capture.task}, timeout=_CANCEL_PATIENCE_S)
        if not capture.entry.status.ended:
            return capture.state()
        if capture.entry.is_left_on_node:
            raise _left_on_node(capture)
        if capture.is_left_in_registry and registry is not None:
            await transfer.undo(capture, registry, deadline_s=_REGISTRY_PATIENCE_S)
        if not capture.is_left_in_registry:
            await self._forget(capture)
        return capture.state()

    async def _start(self, capture_id: str, request: CaptureRequest) -> CaptureState:
        self._refuse_second(request)
        evicted = self._make_room()
        now = utc_now()
        entry = JournalEntry(id=capture_id, request=without_credentials(request), created_at=now, changed_at=now)
        capture = Capture(entry, self._journal)
        self._captures[capture_id] = capture
        if evicted is not None:
            await self._forget(evicted)
        try:
            await capture.enter(Stage.QUEUED, "queued")
        except BaseException:
            del self._captures[capture_id]
            raise
        log.info("capture_started", capture=capture_id, pod=f"{request.namespace}/{request.pod}/{request.container}")
        self._spawn(capture, self._work.run(capture, request))
        return capture.state()

    def _make_room(self) -> Capture | None:
        """The capture to be forgotten for a new one, if any; first those that have nothing left in a registry."""
        if len(self._captures) < _CAPTURES_LIMIT:
            return None
        ended = [each for each in self._captures.values() if each.entry.status.ended and not each.waits_for_undo]
        if not ended:
            raise Unavailable(
                "The agent works on too many captures", details=str(_CAPTURES_LIMIT), hint="Cancel some, or wait"
            )
        evicted = min(ended, key=lambda each: (each.is_left_in_registry, each.entry.changed_at))
        del self._captures[evicted.id]
        return evicted

    def _refuse_second(self, request: CaptureRequest) -> None:
        """Two dumps of one container at a time disturb each other."""
        for other in self._captures.values():
            if not other.entry.status.ended and other.entry.request.container_id == request.container_id:
                raise Conflict(
                    "The container is being frozen already",
                    details=f"capture {other.id} is at {other.entry.stage}",
                    hint="Wait for it, or cancel it",
                )

    async def _recover(self, entry: JournalEntry) -> None:
        events = await asyncio.to_thread(self._journal.events, entry.id)
        capture = Capture(entry, self._journal, events)
        self._captures[entry.id] = capture
        if entry.status.ended:
            return
        if entry.error is not None:
            # It was being undone; the registry's part needs credentials and is the server's to ask for.
            self._undo(capture, None, _why_undone(capture, self._settings.orphan_ttl_s))
        elif entry.stage is Stage.CLEANING:
            entry.status = CaptureStatus.RUNNING
            self._spawn(capture, self._work.finish_success(capture))
        else:
            await capture.interrupt()
            log.info("capture_waits_for_resume", capture=entry.id, stage=entry.stage.value)

    async def _sweep(self) -> None:
        """Undo what nobody resumes or could be undone before; forget what ended long ago."""
        while True:
            await asyncio.sleep(min(self._settings.orphan_ttl_s / 4, 30.0))
            now = utc_now()
            for capture in list(self._captures.values()):
                await self._look_after(capture, (now - capture.entry.changed_at).total_seconds())

    async def _look_after(self, capture: Capture, age_s: float) -> None:
        settings = self._settings
        if capture.waits_for_undo:
            if age_s > settings.orphan_ttl_s:
                self._undo(capture, None, _why_undone(capture, settings.orphan_ttl_s))
        elif capture.entry.status.ended and age_s > settings.keep_ended_s:
            settled = capture.entry.status is not CaptureStatus.SUCCEEDED and not capture.is_left_in_registry
            if settled or age_s > settings.keep_unsettled_s:
                await self._forget(capture)
            else:
                capture.drop_events()

    def _undo(self, capture: Capture, registry: RegistryAccess | None, error: KsnapError) -> None:
        """Undo what nobody works on; a DELETE that comes meanwhile waits for it."""
        capture.entry.status = CaptureStatus.RUNNING
        self._spawn(capture, self._work.undo(capture, registry, error))

    def _spawn(self, capture: Capture, work: Coroutine[Any, Any, None]) -> None:
        RUNNING.inc()
        capture.task = self._group.create_task(_guarded(capture, work), name=f"capture {capture.id}")
        capture.task.add_done_callback(_ended)

    async def _forget(self, capture: Capture) -> None:
        self._captures.pop(capture.id, None)
        if capture.is_left_in_registry:
            log.warning("leftovers_forgotten", capture=capture.id, **transfer.leftovers(capture))
        await asyncio.to_thread(self._journal.forget, capture.id)


async def _guarded(capture: Capture, work: Coroutine[Any, Any, None]) -> None:
    """The root of a capture's task: one capture's unforeseen failure must not end the others'."""
    try:
        await work
    except Exception as exc:
        log.exception("capture_broke", capture=capture.id)
        capture.give_up(KsnapError("The agent failed to undo a capture", details=_reason(exc), hint="Look at its log"))


def _ended(_: "asyncio.Task[None]") -> None:
    RUNNING.dec()


def _same(known: CaptureRequest, request: CaptureRequest) -> bool:
    """Equal but for the credentials, which the journal does not have, and which may have been renewed."""
    return known == without_credentials(request)


def _why_undone(capture: Capture, ttl_s: float) -> KsnapError:
    """Why it was being undone before, or that nobody resumed it."""
    known = capture.entry.error
    if known is not None:
        kind = JobCancelled if capture.entry.cancelled else CheckpointFailed
        return kind(known.message, details=known.details, hint=known.hint)
    return CheckpointFailed(
        "The agent was restarted and nobody resumed the capture", details=f"within {ttl_s:g} s", hint="Try again"
    )


def _left_on_node(capture: Capture) -> Unavailable:
    error = capture.entry.error
    return Unavailable(
        "The node's copy of the archive could not be removed",
        details=f"capture {capture.id}: {error.details if error is not None else ''}",
        hint="Check the node's disk; the agent tries again now and then, and when it is asked again",
    )


def _reason(exc: Exception) -> str:
    return f"{exc.strerror}: {exc.filename}" if isinstance(exc, OSError) else type(exc).__name__
