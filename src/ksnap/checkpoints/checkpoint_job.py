"""The job that freezes a container: the pod's hook, capture on the node's agent, fetch where no registry takes it,
write it down.

The agent does the work and keeps its own journal; this side starts it, follows it, gives it credentials again when it
was restarted, and has it undone if anything fails. Every call is idempotent by the checkpoint's id.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from ksnap.checkpoints.agents import AgentDirectory
from ksnap.checkpoints.engine import Stage
from ksnap.checkpoints.hook_run import HookRunner
from ksnap.checkpoints.hooks import Hook, Moment, hooks_of
from ksnap.checkpoints.images import Images, location_of
from ksnap.checkpoints.job_log import TASK_NAMES, JobKind, JobLog, Progress
from ksnap.checkpoints.names import blob_name
from ksnap.checkpoints.patience import TRANSIENT, Patience, patiently, unless_cancelled
from ksnap.checkpoints.progress import capture_percent
from ksnap.checkpoints.records import CheckpointRecords, recorded_pod
from ksnap.checkpoints.transfer import Thinned, VerifiedArchive
from ksnap.checkpoints.undoing import leftover, with_leftovers
from ksnap.checkpoints.wire import from_wire
from ksnap.configuration.registries import Registries
from ksnap.errors import CheckpointFailed, JobCancelled, KsnapError, NotFound, Unavailable
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.pods import get_pod
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.client import AgentClient
from ksnap.node.protocol import (
    CaptureEvent,
    CaptureRequest,
    CaptureState,
    CaptureStatus,
    Confirmation,
    Destination,
    RegistryDestination,
    ServerDestination,
    UndoRequest,
)
from ksnap.node.protocol import Stage as CaptureStage
from ksnap.oci.signing_keys import SigningKey
from ksnap.store.blobs import Blobs
from ksnap.store.encryption import Vault
from ksnap.store.tables import Checkpoint, Job

# An API server that is away, an agent that restarts (its image may have to be pulled anew): waited for so long.
PATIENCE_S = 180.0
# What a failed job leaves must go, but its caller waits: after this the agent's own journal takes care.
UNDO_PATIENCE_S = 60.0
# A capture that has ended well is forgotten by its agent in the end anyway.
FORGET_S = 10.0
AGAIN_S = 0.2
# Not every mebibyte is news.
NOTE_EVERY_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CheckpointJob:
    """Stages and undo of a checkpoint."""

    jobs: JobLog
    records: CheckpointRecords
    vault: Vault
    connections: ClusterConnections
    hooks: HookRunner
    agents: AgentDirectory
    registries: Registries
    blobs: Blobs
    images: Images
    signing_key: SigningKey

    @property
    def stages(self) -> Sequence[Stage]:
        return (
            Stage("hook", self.hook),
            Stage("capture", self.capture),
            Stage("fetch", self.fetch),
            Stage("record", self.record),
        )

    async def hook(self, job_id: str) -> None:
        """Let the container prepare itself, if its pod says how. Nothing is dumped yet, so a failure costs nothing."""
        job, checkpoint = await self._load(job_id)
        hooks = hooks_of(recorded_pod(self.vault, checkpoint), Moment.BEFORE_FREEZE, [checkpoint.container_name])
        if hooks:
            await unless_cancelled(self.jobs, job_id, self._prepared(job, checkpoint, hooks))

    async def capture(self, job_id: str) -> None:
        """Have the agent dump, validate and push; over when the image is in the registry or the archive waits."""
        job, checkpoint = await self._load(job_id)
        state = await unless_cancelled(self.jobs, job_id, self._captured(job, checkpoint))
        if state.error is not None:
            raise from_wire(state.error, cancelled=state.status is CaptureStatus.CANCELLED)
        await self._note_image(job, checkpoint.id, state)
        if state.image is not None and not state.image.signature_digest:
            # An agent from before there were signatures; pushing the checkpoint again signs it.
            log.warning("image_not_signed", checkpoint_id=checkpoint.id, node=checkpoint.node_name)

    async def fetch(self, job_id: str) -> None:
        """Stream the archive from the node into the blob store, then let the agent remove its copy."""
        job, checkpoint = await self._load(job_id)
        if job.request["destination"]["kind"] == "server":
            await unless_cancelled(self.jobs, job_id, self._fetched(job, checkpoint))

    async def record(self, job_id: str) -> None:
        """The point of no return: from here on it is a checkpoint, and no longer cancelled."""
        _, checkpoint = await self._load(job_id)
        if await self.jobs.is_cancelled(job_id):
            raise JobCancelled("The job was cancelled", details=f"job {job_id}")
        location = location_of(checkpoint)
        result = location.result() if location is not None else {}
        await self.records.complete(checkpoint.id, job_id, result | {"checkpoint_id": checkpoint.id})
        log.info("checkpoint_completed", checkpoint_id=checkpoint.id, size_bytes=checkpoint.size_bytes)
        await self._forgotten(checkpoint)

    async def _forgotten(self, checkpoint: Checkpoint) -> None:
        """Let the agent forget what is written down here. It remembers for long, so that we may be away for long."""
        try:
            async with asyncio.timeout(FORGET_S):
                agent = await self.agents.on_node(checkpoint.cluster_name, checkpoint.node_name)
                await agent.undo(checkpoint.id)
        except (KsnapError, TimeoutError) as error:
            log.warning("capture_not_forgotten", checkpoint_id=checkpoint.id, error=str(error))

    async def undo(self, job_id: str, error: Exception) -> None:
        """Nothing may be left on the node, in the registry or in the blob store; then the failure is written down."""
        job, checkpoint = await self._load(job_id)
        left = [
            each
            for each in (
                await leftover("node", self._undo_capture(job, checkpoint)),
                await leftover("registry", self._remove_image(checkpoint.id)),
                await leftover("blob store", self.blobs.delete(blob_name(checkpoint.id))),
            )
            if each
        ]
        await self.records.fail(checkpoint.id, job_id, with_leftovers(error, left))
        log.warning("checkpoint_failed", checkpoint_id=checkpoint.id, error=str(error), left=left)

    # Preparing

    async def _prepared(self, job: Job, checkpoint: Checkpoint, hooks: Sequence[Hook]) -> None:
        await patiently(lambda: self._check_same(checkpoint), seconds=PATIENCE_S)
        await self.hooks.run(job, Moment.BEFORE_FREEZE, hooks)

    async def _check_same(self, checkpoint: Checkpoint) -> None:
        """Exec knows names alone: another pod of that name, or the container's successor, is not to be prepared."""
        connection = await self.connections.get(checkpoint.cluster_name)
        pod = await get_pod(connection, checkpoint.namespace, checkpoint.pod_name)
        statuses = {each["name"]: each for each in pod["status"].get("containerStatuses") or []}
        container_id = (statuses.get(checkpoint.container_name) or {}).get("containerID")
        if (pod["metadata"]["uid"], container_id) != (checkpoint.pod_uid, checkpoint.container_id):
            raise CheckpointFailed(
                "The container was replaced before it was frozen",
                details=f"{checkpoint.container_name} of pod {checkpoint.namespace}/{checkpoint.pod_name}",
                hint="Freeze it again",
            )

    # Capturing

    async def _captured(self, job: Job, checkpoint: Checkpoint) -> CaptureState:
        patience = Patience(PATIENCE_S)
        while True:
            try:
                agent = await self.agents.on_node(checkpoint.cluster_name, checkpoint.node_name)
                await agent.start_capture(checkpoint.id, await self._request(job, checkpoint))
                await self._follow(agent, job, checkpoint.id, patience)
                state = await agent.capture(checkpoint.id)
                if state.status.ended or state.stage is CaptureStage.AWAITING_FETCH:
                    return state
                # Interrupted: the agent was restarted and wants its PUT again; else the stream merely ended early.
                await asyncio.sleep(AGAIN_S)
            except TRANSIENT as error:
                await patience.pause_or_raise(error)

    async def _follow(self, agent: AgentClient, job: Job, capture_id: str, patience: Patience) -> None:
        """Write the agent's events down until the capture is over, waits for us, or the connection ends."""
        thinned = Thinned(NOTE_EVERY_S)
        async for event in agent.events(capture_id, after=await self.jobs.last_capture_sequence(job.id)):
            patience.renew()
            if thinned.takes(event.stage, event.at):
                await self.jobs.note(job, _progress(job, event))
            if event.stage is CaptureStage.AWAITING_FETCH:
                return

    async def _request(self, job: Job, checkpoint: Checkpoint) -> CaptureRequest:
        return CaptureRequest(
            namespace=checkpoint.namespace,
            pod=checkpoint.pod_name,
            pod_uid=checkpoint.pod_uid,
            container=checkpoint.container_name,
            container_id=checkpoint.container_id,
            destination=await self._destination(job),
            annotations=checkpoint.key,
            timeout_s=job.request["timeout_s"],
            engine=job.request.get("engine", "kubelet"),
        )

    async def _destination(self, job: Job) -> Destination:
        asked = job.request["destination"]
        if asked["kind"] == "server":
            return ServerDestination()
        registry = await self.registries.get(asked["registry"])
        return RegistryDestination(
            registry=registry.access,
            repository=asked["repository"],
            tag=asked["tag"],
            signing_key=self.signing_key.pem,
        )

    # Fetching

    async def _fetched(self, job: Job, checkpoint: Checkpoint) -> None:
        patience = Patience(PATIENCE_S)
        while True:
            try:
                agent = await self.agents.on_node(checkpoint.cluster_name, checkpoint.node_name)
                # An agent that was restarted waits for our PUT before it serves the archive or hears of it again.
                state = await agent.start_capture(checkpoint.id, await self._request(job, checkpoint))
                if state.error is not None:
                    raise from_wire(state.error)
                if checkpoint.blob_key is None or (state.archive is None and not state.status.ended):
                    await self._stored(agent, job, checkpoint, patience)
                    checkpoint = await self.records.get(checkpoint.id)
                await self._confirmed(agent, checkpoint)
            except TRANSIENT as error:
                await patience.pause_or_raise(error)
            else:
                return

    async def _stored(self, agent: AgentClient, job: Job, checkpoint: Checkpoint, patience: Patience) -> None:
        """The archive as a blob, which appears only if its size and digest are those that the agent sent."""
        stream = VerifiedArchive(agent, checkpoint.id)
        thinned = Thinned(NOTE_EVERY_S)

        async def noted() -> AsyncIterator[bytes]:
            async for chunk in stream.chunks():
                patience.renew()
                if thinned.takes(CaptureStage.AWAITING_FETCH, datetime.now(UTC)):
                    await self.jobs.note(job, Progress("fetching", 60.0, bytes_done=stream.size_bytes))
                yield chunk

        await self.blobs.put(blob_name(checkpoint.id), noted())
        engine = (await agent.capture(checkpoint.id)).freeze_engine
        await self.records.note_archive(checkpoint.id, stream.facts, engine)
        await self.records.note_blob(checkpoint.id, blob_name(checkpoint.id))

    async def _confirmed(self, agent: AgentClient, checkpoint: Checkpoint) -> None:
        """Tell the agent that we have it; done only when it says that the node's copy is gone."""
        state = await agent.capture(checkpoint.id)
        if state.status is not CaptureStatus.SUCCEEDED:
            digest, size = checkpoint.compressed_digest or "", checkpoint.compressed_bytes or 0
            state = await agent.confirm(checkpoint.id, Confirmation(digest=digest, size_bytes=size))
        if state.status is not CaptureStatus.SUCCEEDED:
            raise Unavailable("The node's copy of the archive is still there", details=f"capture {checkpoint.id}")

    # Undoing

    async def _undo_capture(self, job: Job, checkpoint: Checkpoint) -> None:
        async def once() -> None:
            agent = await self.agents.on_node(checkpoint.cluster_name, checkpoint.node_name)
            await self._note_pushed(agent, job, checkpoint.id)
            registry = await self._registry_of(job)
            check_undone(await agent.undo(checkpoint.id, UndoRequest(registry=registry)), may_pass=registry is not None)

        await patiently(once, seconds=UNDO_PATIENCE_S)

    async def _note_pushed(self, agent: AgentClient, job: Job, checkpoint_id: str) -> None:
        """Write down an image whose push ended before we heard of it: the agent forgets it with the capture."""
        try:
            state = await agent.capture(checkpoint_id)
        except NotFound:
            return
        await self._note_image(job, checkpoint_id, state)

    async def _note_image(self, job: Job, checkpoint_id: str, state: CaptureState) -> None:
        if state.status is CaptureStatus.SUCCEEDED and state.archive is not None and state.image is not None:
            await self.records.note_archive(checkpoint_id, state.archive, state.freeze_engine)
            await self.records.note_image(checkpoint_id, state.image, job.request["destination"]["registry"])

    async def _remove_image(self, checkpoint_id: str) -> None:
        """An image that the agent had confirmed before the job was cancelled."""
        checkpoint = await self.records.get(checkpoint_id)
        location = location_of(checkpoint)
        if location is not None:
            others = await self.records.sharing(location.image, checkpoint.id)
            await self.images.remove(location, checkpoint.compressed_digest or "", others)

    async def _registry_of(self, job: Job) -> RegistryAccess | None:
        """The account to clean with; None if there is none (any more): what the node holds must go all the same."""
        asked = job.request["destination"]
        if asked["kind"] != "registry":
            return None
        try:
            return (await self.registries.get(asked["registry"])).access
        except NotFound:
            return None

    async def _load(self, job_id: str) -> tuple[Job, Checkpoint]:
        job = await self.jobs.get(job_id)
        if job.checkpoint_id is None:
            raise KsnapError("A checkpoint's job names no checkpoint", details=job_id)
        return job, await self.records.get(job.checkpoint_id)


def check_undone(state: CaptureState, *, may_pass: bool) -> None:
    """Raise what is left of a capture after its undo; Unavailable where another try may help."""
    if not state.status.ended:
        raise Unavailable("The dump has to end first", details=f"capture {state.id} is {state.status}")
    # What succeeded has an image, which is removed by its record.
    if state.status is CaptureStatus.SUCCEEDED or not state.is_left_in_registry:
        return
    left = ", ".join((*state.manifests, *state.uploaded_blobs, *state.uploads))
    if may_pass:
        raise Unavailable("The registry could not be cleaned", details=left)
    raise NotFound("The registry's configuration is gone, so it could not be cleaned", details=left)


def _progress(job: Job, event: CaptureEvent) -> Progress:
    pushes = job.request["destination"]["kind"] == "registry"
    return Progress(
        stage=event.stage,
        percent=capture_percent(event),
        message=event.message,
        bytes_done=event.bytes_done,
        bytes_total=event.bytes_total,
        capture_sequence=event.sequence,
        task_name=TASK_NAMES[JobKind.PUBLISH if pushes else JobKind.CHECKPOINT],
    )
