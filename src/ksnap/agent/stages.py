"""One capture's work from its place in the queue to a clean node: dump, transfer, verify, clean; or undo.

`run` is the root of the capture's task. It ends in exactly one of: an ended capture with nothing left over; or, when
the agent itself is ending, a journal entry from which the next agent goes on.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from ksnap.agent import transfer
from ksnap.agent.archives import remove_archive
from ksnap.agent.capture import Capture
from ksnap.agent.direct_freeze import discard_images
from ksnap.agent.dump import Dumping, archives_of
from ksnap.agent.metrics import CAPTURES
from ksnap.agent.settings import AgentSettings
from ksnap.errors import JobCancelled, KsnapError
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureRequest, CaptureStatus, RegistryDestination, Stage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Slots:
    """How much may happen on this node at a time."""

    dumps: asyncio.Semaphore
    transfers: asyncio.Semaphore


class CaptureWork:
    """What can be done with a capture; one object for all of them."""

    def __init__(self, settings: AgentSettings, dumping: Dumping, slots: Slots) -> None:
        self._settings = settings
        self._dumping = dumping
        self._slots = slots

    async def run(self, capture: Capture, request: CaptureRequest) -> None:
        """Carry the capture out, from wherever its journal entry stands. `request` has the credentials."""
        try:
            await self._carry_out(capture, request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not capture.cancel_asked or task is None:
                raise
            task.uncancel()
            await self.undo(capture, registry_of(request), JobCancelled("The checkpoint was cancelled"))
        except KsnapError as error:
            await self.undo(capture, registry_of(request), error)
        except Exception as exc:  # the root of a task: what nobody foresaw must still be undone and told
            log.exception("capture_broke", capture=capture.id)
            await self.undo(
                capture,
                registry_of(request),
                KsnapError("The agent failed", details=type(exc).__name__, hint="Look at the agent's log"),
            )

    async def undo(self, capture: Capture, registry: RegistryAccess | None, error: KsnapError) -> None:
        """Remove what the capture made, on the node first, and end it."""
        entry = capture.entry
        capture.note_error(error)
        entry.cancelled = entry.cancelled or isinstance(error, JobCancelled)
        await capture.enter(Stage.CLEANING, f"undoing: {error.message}")
        try:
            await self._remove_archives(capture)
        except OSError:
            # A node's disk in trouble keeps the archive, and nothing else.
            if registry is not None:
                await transfer.undo(capture, registry)
            raise
        if registry is not None:
            await transfer.undo(capture, registry)
        status = CaptureStatus.CANCELLED if entry.cancelled else CaptureStatus.FAILED
        CAPTURES.labels(outcome=status.value).inc()
        log.warning("capture_undone", capture=capture.id, status=status.value, code=error.code, reason=error.message)
        await capture.end(status, error.message)

    async def finish_success(self, capture: Capture) -> None:
        """The archive is safe elsewhere: the node's copy goes, the capture ends."""
        await capture.enter(Stage.CLEANING, "removing the node's copy")
        await self._remove_archives(capture)
        CAPTURES.labels(outcome=CaptureStatus.SUCCEEDED.value).inc()
        log.info("capture_succeeded", capture=capture.id)
        await capture.end(CaptureStatus.SUCCEEDED, "done")

    async def _carry_out(self, capture: Capture, request: CaptureRequest) -> None:
        if capture.entry.archive_path is None or capture.entry.freeze_engine is None:
            await self._obtain_archive(capture)
        if isinstance(request.destination, RegistryDestination):
            async with self._slots.transfers:
                if capture.entry.image is None:
                    await transfer.push(capture, request.destination)
                await transfer.verify(capture, request.destination)
        else:
            await transfer.await_fetch(capture, patience_s=self._settings.orphan_ttl_s)
        await self.finish_success(capture)

    async def _obtain_archive(self, capture: Capture) -> None:
        async with self._slots.dumps:
            if capture.entry.dump_asked_at is None:
                await self._dumping.dump(capture)
            else:
                await self._dumping.adopt(capture)

    async def _remove_archives(self, capture: Capture) -> None:
        """The journaled archive; after a failed dump also what it left half-written."""
        entry = capture.entry
        if entry.archive_path is None and entry.dump_asked_at is not None:
            archives = archives_of(self._settings, entry.request)
            await self._dumping.wait_for_orphan(capture)
            found = await asyncio.to_thread(archives.new_since, entry.archives_before)
            paths = [archives.folder / name for name in found]
        else:
            paths = [Path(entry.archive_path)] if entry.archive_path else []
        for path in paths:
            if await asyncio.to_thread(remove_archive, path):
                log.info("archive_removed", capture=capture.id, path=str(path))
        await discard_images(entry)
        entry.archive_path = None
        entry.dump_asked_at = None
        await capture.save()


def registry_of(request: CaptureRequest) -> RegistryAccess | None:
    """The account to clean the registry with, if the capture goes to one."""
    destination = request.destination
    return destination.registry if isinstance(destination, RegistryDestination) else None
