"""The dump: asking the kubelet, outlasting it whatever happens, adopting it after a restart, explaining its failure.

A dump that has begun is never cut short (`kubelet.py` says why). A cancelled or timed-out capture waits for its end
and removes the archive then; a shutdown leaves it to the next agent, which finds the archive by the journal.
"""

import asyncio
import re
from collections import deque
from datetime import timedelta
from pathlib import Path

import structlog

from ksnap.agent.archives import Archives, archive_size, check_container, check_free_space
from ksnap.agent.capture import Capture, utc_now
from ksnap.agent.containerd_lock import DUMP_FOLDER, containerd_kept
from ksnap.agent.direct_freeze import DirectFreezes, images_of, images_size, settle
from ksnap.agent.dump_log import explain_dump_failure
from ksnap.agent.evidence import bare_container_id
from ksnap.agent.kubelet import Kubelet
from ksnap.agent.metrics import DUMP_SECONDS
from ksnap.agent.settings import AgentSettings
from ksnap.errors import CheckpointFailed, CheckpointTimedOut, JobCancelled, KsnapError
from ksnap.node.protocol import CaptureRequest, Stage

log = structlog.get_logger()

_POLL_S = 0.5
# A probe's connection, open at the very moment of the dump, fails it; the next moment mostly does not. A container
# that keeps connections fails each time, and fast: CRIU looks at sockets before memory.
_TRIES = 4
_AGAIN_S = 0.4
# The third: threads that ended while they were being stopped, as a program's do that is just being executed.
_PASSING = re.compile(r"In-flight connection|Connected TCP socket|Unable to (?:at|de)tach from \d+: No such process")
# gRPC's code for a server that is not there, in the kubelet's answer: containerd is being restarted. The kubelet looks
# for it again after a pause of its own.
_RUNTIME_AWAY = re.compile(r"code = Unavailable\b")
_AWAY_AGAIN_S = 3.0
# What a restart of containerd by the node set-up may take, and its going back.
RESTART_PATIENCE_S = 180.0
# After a restart the runtime may not have begun yet with a dump that was just asked for.
_SETTLE_S = 3.0


def archives_of(settings: AgentSettings, request: CaptureRequest) -> Archives:
    return Archives(settings.checkpoints_dir, request.namespace, request.pod, request.container)


class Dumping:
    """Makes a capture's archive. `group` owns the question to the kubelet, which outlives a cancelled capture."""

    def __init__(
        self, settings: AgentSettings, kubelet: Kubelet, freezes: DirectFreezes, group: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._kubelet = kubelet
        self._freezes = freezes
        self._group = group

    async def dump(self, capture: Capture) -> None:
        """Ask for the archive and journal where it is."""
        entry = capture.entry
        archives = archives_of(self._settings, entry.request)
        entry.archives_before = await asyncio.to_thread(archives.names)
        tries = 0
        while True:
            tries += 1
            await self._check_free_space()
            entry.dump_asked_at, entry.dump_ended = utc_now(), False
            await capture.enter(Stage.DUMPING, f"freezing the container {entry.request.container}, try {tries}")
            async with containerd_kept(self._settings.state_dir, patience_s=RESTART_PATIENCE_S):
                outcome = await self._offer_and_try(capture)
            if isinstance(outcome, str):
                break
            error = await asyncio.to_thread(explain_dump_failure, self._settings.tasks_dir, entry, outcome)
            if tries >= _TRIES or not is_passing(error):
                raise error
            log.info("dump_tried_again", capture=capture.id, reason=error.message)
            await asyncio.sleep(_AWAY_AGAIN_S if is_runtime_away(error) else _AGAIN_S)
        await self._take(capture, archives)

    async def _offer_and_try(self, capture: Capture) -> str | KsnapError:
        if capture.entry.request.engine == "kubelet":
            return await self._try_once(capture)
        async with self._freezes.offered(capture.entry):
            # In the journal before the dump begins: a killed agent's successor finds what it left.
            await capture.save()
            return await self._try_once(capture)

    async def _try_once(self, capture: Capture) -> str | KsnapError:
        """One dump to its end. An archive is journaled even if it is no longer wanted, so that it is removed."""
        entry = capture.entry
        question = self._group.create_task(self._ask(entry.request), name=f"dump {capture.id}")
        late = await self._outlast(question, capture, entry.request.timeout_s)
        outcome = question.result()
        entry.dump_ended = True
        if isinstance(outcome, str):
            path = archives_of(self._settings, entry.request).path_of_answer(outcome)
            entry.archive_path = str(path)
            await capture.save()
        if late is not None:
            raise late
        return outcome

    async def _take(self, capture: Capture, archives: Archives) -> None:
        """The archive is there; is it of the container that was meant?"""
        entry = capture.entry
        path = archives.folder / Path(entry.archive_path or "").name
        size = await asyncio.to_thread(archive_size, path)
        await asyncio.to_thread(check_container, path, bare_container_id(entry.request.container_id))
        await settle(entry, path)
        images = images_of(entry)
        if images is not None:
            size += await asyncio.to_thread(images_size, images)
        if entry.dump_asked_at is not None:
            entry.dump_s = (utc_now() - entry.dump_asked_at).total_seconds()
            DUMP_SECONDS.labels(engine=entry.freeze_engine).observe(entry.dump_s)
        await capture.save()
        log.info("checkpoint_written", capture=capture.id, path=str(path), size_bytes=size, engine=entry.freeze_engine)
        await capture.tell("the archive is written", done=size, total=size)

    async def _check_free_space(self) -> None:
        folders = [self._settings.checkpoints_dir, self._settings.containers_dir, self._settings.state_dir]
        await asyncio.to_thread(check_free_space, folders, wanted_bytes=self._settings.min_free_bytes)

    async def adopt(self, capture: Capture) -> None:
        """After a restart: wait until the dump that was under way has ended, and take its archive."""
        entry = capture.entry
        archives = archives_of(self._settings, entry.request)
        await capture.enter(Stage.DUMPING, "the agent was restarted: looking for the dump that was under way")
        await self.wait_for_orphan(capture)
        found = await asyncio.to_thread(archives.new_since, entry.archives_before)
        if not found:
            raise CheckpointFailed(
                "The agent was restarted during the dump",
                details=f"no new archive of {archives.prefix}* was found",
                hint="Try again",
            )
        entry.archive_path = str(archives.folder / found[-1])
        await capture.save()
        await self._take(capture, archives)
        log.info("archive_adopted", capture=capture.id, path=entry.archive_path)

    async def wait_for_orphan(self, capture: Capture) -> None:
        """Return when the runtime no longer works on the dump that a former agent asked for.

        One that is seen to be under way is waited for as long as the kubelet lets it run: given up before, its archive
        would appear when nobody looks any more. Where nobody can tell, the capture's own time-out bounds the wait.
        """
        entry = capture.entry
        if entry.dump_ended:
            return
        archives = archives_of(self._settings, entry.request)
        asked_at = entry.dump_asked_at or entry.created_at
        begun = utc_now()
        settled_at = begun + timedelta(seconds=_SETTLE_S)
        unknown_until = max(asked_at + timedelta(seconds=entry.request.timeout_s), settled_at)
        limit = max(asked_at + timedelta(seconds=self._settings.dump_limit_s), unknown_until)
        sizes: deque[int] = deque(maxlen=6)
        while (now := utc_now()) < limit:
            await asyncio.sleep(_POLL_S)
            under_way = await asyncio.to_thread(dump_under_way, self._settings.containers_dir, entry.request)
            sizes.append(await asyncio.to_thread(_total_size, archives, entry.archives_before))
            if under_way or now < settled_at:
                continue
            # Without the runtime's own folder: an archive that no longer grows.
            still = sizes[-1] > 0 and len(set(sizes)) == 1
            if under_way is False or still or now >= unknown_until:
                break
        entry.dump_ended = True

    async def _ask(self, request: CaptureRequest) -> str | KsnapError:
        """The kubelet's answer as a value: a failed dump must not end the group that owns the question."""
        try:
            return await self._kubelet.checkpoint(request.namespace, request.pod, request.container)
        except KsnapError as error:
            return error

    async def _outlast(
        self, question: "asyncio.Task[str | KsnapError]", capture: Capture, timeout_s: float
    ) -> KsnapError | None:
        """Wait for the dump's end; the error, if it came too late or its user no longer wants it."""
        late: KsnapError | None = None
        while not question.done():
            try:
                await asyncio.wait({question}, timeout=None if late else timeout_s)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not capture.cancel_asked or task is None:
                    raise
                task.uncancel()
                late = JobCancelled("The checkpoint was cancelled")
            if not question.done():
                late = late or _timed_out(timeout_s)
                capture.note_error(late)
                await capture.enter(Stage.CLEANING, f"{late.message}: waiting until the runtime lets the container go")
        return late


def dump_under_way(containers_dir: Path, request: CaptureRequest) -> bool | None:
    """containerd works on a dump in a folder of the container's own, and removes it at the end.

    None if the runtime's folder is not mounted, or knows no such container.
    """
    folder = containers_dir / bare_container_id(request.container_id)
    try:
        return (folder / DUMP_FOLDER).exists() if folder.exists() else None
    except OSError:
        return None


def is_passing(error: KsnapError) -> bool:
    """Whether a dump failed for something that may be over in a moment."""
    return _PASSING.search(error.details) is not None or is_runtime_away(error)


def is_runtime_away(error: KsnapError) -> bool:
    """Whether the kubelet could not reach its runtime, which says nothing of what that can do."""
    return _RUNTIME_AWAY.search(error.details) is not None


def _total_size(archives: Archives, before: list[str]) -> int:
    total = 0
    for name in archives.new_since(before):
        try:
            total += (archives.folder / name).stat().st_size
        except OSError:
            continue
    return total


def _timed_out(timeout_s: float) -> CheckpointTimedOut:
    return CheckpointTimedOut(
        "The dump took too long",
        details=f"more than {timeout_s:g} s",
        hint="Allow more time: a dump takes about ten seconds for each GiB of the container's memory",
    )
