"""The room's front: what routes, the command line's server side and later watchers ask for.

Each call plans at once, begins a durable job and returns it; `ended` waits for its end and raises what made it fail.
A caller that goes away stops nothing.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ksnap.checkpoints.destination import Destinations, WantedImage, repository_below
from ksnap.checkpoints.engine import JobEngine
from ksnap.checkpoints.freezing import FreezeRequest, Freezing
from ksnap.checkpoints.hook_run import HookRunner
from ksnap.checkpoints.hooks import Moment, hooks_of
from ksnap.checkpoints.images import facts_of, location_of
from ksnap.checkpoints.job_log import JobKind, JobLog, JobStatus, new_job
from ksnap.checkpoints.names import new_id
from ksnap.checkpoints.node_reports import NodeReports
from ksnap.checkpoints.pod_spec import host_of
from ksnap.checkpoints.records import CheckpointRecords, CheckpointStatus, not_complete, recorded_pod
from ksnap.checkpoints.restore_nodes import WantedEngine, choose
from ksnap.checkpoints.wire import from_wire
from ksnap.errors import AlreadyExists, Conflict, InvalidInput, KsnapError, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.pods import get_pod
from ksnap.model.checkpoint_key import key_of_annotations
from ksnap.model.image import ImageRef
from ksnap.node.protocol import WireError
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Checkpoint, Job, JobEvent

# How soon a waiting reader sees an event: below what a person notices, and five small reads a second.
EVENT_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to restore as which pod; None: as the source was."""

    checkpoint_ids: Sequence[str]
    pod_name: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    node: str | None = None
    timeout_s: float = 300.0
    keep_failed: bool = False
    engine: WantedEngine = "auto"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Freeze, publish, restore, delete, cancel."""

    database: Database
    engine: JobEngine
    jobs: JobLog
    records: CheckpointRecords
    freezing: Freezing
    destinations: Destinations
    connections: ClusterConnections
    reports: NodeReports
    hooks: HookRunner
    vault: Vault

    async def freeze(self, by: Principal, request: FreezeRequest) -> Job:
        target = f"{request.cluster}/{request.namespace}/{request.pod}/{request.container or ''}"
        async with audited(self.database, by, "checkpoint_started", target):
            job = await self.freezing.begin(request, by=by.username)
            await self.engine.start(job)
        return job

    async def publish(
        self, by: Principal, checkpoint: Checkpoint, wanted: WantedImage, *, image_name: str | None, owner: str
    ) -> Job:
        """Push a stored checkpoint; `image_name` takes the generated name's place, its tag is the checkpoint's id."""
        async with audited(self.database, by, "publish_started", checkpoint.id):
            facts_of(checkpoint)
            destination = await self._publish_destination(checkpoint, wanted, image_name)
            job = self._job(JobKind.PUBLISH, checkpoint, by, {**destination, "owner": owner})
            await self.records.begin_use([checkpoint.id], job)
            await self.engine.start(job)
        return job

    async def restore(self, by: Principal, request: RestoreRequest) -> Job:
        async with audited(self.database, by, "restore_started", ",".join(request.checkpoint_ids)):
            checkpoints = await self._check_restorable(request)
            first = checkpoints[0]
            job_id = new_id(datetime.now(UTC), secrets.token_bytes(4))
            pod_name = request.pod_name or restored_name(first.pod_name, job_id)
            cluster, namespace = request.cluster or first.cluster_name, request.namespace or first.namespace
            source = recorded_pod(self.vault, first)
            hooks = hooks_of(source, Moment.AFTER_RESTORE, [each.container_name for each in checkpoints])
            await self._check_name_free(cluster, namespace, pod_name)
            await self.hooks.check(cluster, namespace, hooks)
            reports = await self.reports.for_restore(cluster, request.node)
            choice = choose(reports, request.node, request.engine, bound_to=host_of(source))
            job = new_job(
                job_id,
                JobKind.RESTORE,
                cluster=cluster,
                namespace=namespace,
                pod=pod_name,
                by=by.username,
                checkpoint_id=first.id,
                request={
                    "checkpoint_ids": list(request.checkpoint_ids),
                    "node_name": request.node,
                    "timeout_s": request.timeout_s,
                    "keep_failed": request.keep_failed,
                    "engine": choice.engine,
                    "placed_on": choice.nodes[0],
                },
                now=datetime.now(UTC),
            )
            await self.records.begin_use(request.checkpoint_ids, job)
            await self.engine.start(job)
        return job

    async def delete(self, by: Principal, checkpoint_id: str) -> Job | None:
        """Begin a deletion; None if the checkpoint was deleted before."""
        async with audited(self.database, by, "checkpoint_deletion_started", checkpoint_id):
            try:
                checkpoint = await self.records.get(checkpoint_id)
            except NotFound:
                if await self.records.was_deleted(checkpoint_id):
                    return None
                raise
            job = self._job(JobKind.DELETE, checkpoint, by, {})
            await self.records.begin_deletion(checkpoint_id, job)
            await self.engine.start(job)
        return job

    async def cancel(self, by: Principal, job_id: str) -> Job:
        """Ask a job to stop and undo. Conflict if it has ended, or is a deletion, which nothing can bring back."""
        async with audited(self.database, by, "job_cancel_asked", job_id):
            job = await self.jobs.get(job_id)
            if job.kind == JobKind.DELETE:
                raise Conflict("A deletion cannot be cancelled", details=f"job {job_id}")
            await self.jobs.ask_to_cancel(job_id)
        return job

    async def cancel_checkpoint(self, by: Principal, checkpoint_id: str) -> Job:
        """Cancel the job that works on a checkpoint."""
        await self.records.get(checkpoint_id)
        running = await self.jobs.running(checkpoint_id)
        if not running:
            raise Conflict("No job works on the checkpoint", details=f"checkpoint {checkpoint_id}")
        return await self.cancel(by, running[0].id)

    async def ended(self, job: Job) -> Job:
        """The job when it has completed; its own error if it has not."""
        ended = await self.engine.wait(job.id)
        if ended.status != JobStatus.COMPLETED:
            raise job_error(ended)
        return ended

    async def next_events(self, job_id: str, *, after: int, wait_s: float) -> tuple[Job, Sequence[JobEvent]]:
        """A job with its events after one; waits a while for the next, unless the job has ended."""
        until = time.monotonic() + wait_s
        while True:
            # The job first: its end and its last event are written together, so an ended job has all of its events.
            job = await self.jobs.get(job_id)
            events = await self.jobs.events(job_id, after=after)
            if events or job.status != JobStatus.RUNNING or time.monotonic() >= until:
                return job, events
            await asyncio.sleep(EVENT_LOOK_S)

    async def downloadable(self, pod_name: str, filename: str, *, checkpoint_id: str | None) -> Checkpoint:
        """The completed checkpoint of a file name: the newest, or the one of an id."""
        if checkpoint_id is None:
            found = await self.records.newest(pod_name, filename=filename)
        else:
            found = await self._by_id(checkpoint_id)
        if (
            found is None
            or (found.pod_name, found.filename) != (pod_name, filename)
            or found.status != CheckpointStatus.COMPLETED
        ):
            raise NotFound("Checkpoint not found", details=f"pod {pod_name!r} has no completed archive {filename!r}")
        return found

    async def find(self, pod_name: str, name: str) -> tuple[Checkpoint, bool]:
        """A pod's completed checkpoint by file name, with or without `.tar`, or id; else its newest (contract, 3.3).

        The flag says that `name` named none, and is therefore the image's name.
        """
        for filename in (name, f"{name}.tar"):
            if (found := await self.records.newest(pod_name, filename=filename)) is not None:
                return found, False
        by_id = await self._by_id(name)
        if by_id is not None and by_id.pod_name == pod_name and by_id.status == CheckpointStatus.COMPLETED:
            return by_id, False
        newest = await self.records.newest(pod_name)
        if newest is None:
            raise NotFound("Checkpoint not found", details=f"pod {pod_name!r} has no completed checkpoint")
        return newest, True

    async def _by_id(self, checkpoint_id: str) -> Checkpoint | None:
        try:
            return await self.records.get(checkpoint_id)
        except NotFound:
            return None

    async def _publish_destination(
        self, checkpoint: Checkpoint, wanted: WantedImage, image_name: str | None
    ) -> dict[str, str]:
        if image_name is not None:
            registry = await self.destinations.registry(wanted.registry or "default", checkpoint.cluster_name)
            repository = repository_below(registry.prefix, image_name.lower(), field="checkpoint_name")
            image = ImageRef(registry.access.host, repository, checkpoint.id)
            return {"registry": registry.name, "repository": image.repository, "tag": checkpoint.id}
        first = recorded_pod(self.vault, checkpoint)["spec"]["containers"][0]["name"] == checkpoint.container_name
        destination = await self.destinations.chosen(wanted, key_of_annotations(checkpoint.key), first_container=first)
        return {
            "registry": destination.registry_name,
            "repository": destination.image.repository,
            "tag": destination.image.tag or checkpoint.id,
        }

    async def _check_restorable(self, request: RestoreRequest) -> list[Checkpoint]:
        """The checkpoints; all must be complete, pushed, of one pod, and of different containers."""
        found = [await self.records.get(each) for each in request.checkpoint_ids]
        for each in found:
            if each.status != CheckpointStatus.COMPLETED:
                raise not_complete(each)
            if location_of(each) is None:
                raise Conflict(
                    "The checkpoint has no image",
                    details=f"checkpoint {each.id} is in the blob store alone",
                    hint="Push it first: POST /registry/create_and_push_checkpoint_container (ksnap checkpoint push)",
                )
        if len({each.container_name for each in found}) < len(found):
            raise InvalidInput("Two checkpoints of one container", details="checkpoint_ids: each needs its own")
        if len({(each.cluster_name, each.namespace, each.pod_name, each.pod_uid) for each in found}) > 1:
            raise InvalidInput(
                "The checkpoints are of different pods", details="checkpoint_ids: all must be of one pod"
            )
        return found

    async def _check_name_free(self, cluster: str, namespace: str, pod: str) -> None:
        connection = await self.connections.get(cluster)
        try:
            await get_pod(connection, namespace, pod)
        except NotFound:
            return
        raise AlreadyExists(
            "A pod of that name exists", details=f"pod {namespace}/{pod}", hint="Choose another pod_name"
        )

    def _job(self, kind: JobKind, checkpoint: Checkpoint, by: Principal, request: dict[str, Any]) -> Job:
        now = datetime.now(UTC)
        return new_job(
            new_id(now, secrets.token_bytes(4)),
            kind,
            cluster=checkpoint.cluster_name,
            namespace=checkpoint.namespace,
            pod=checkpoint.pod_name,
            by=by.username,
            checkpoint_id=checkpoint.id,
            request=request,
            now=now,
        )


def restored_name(source: str, job_id: str) -> str:
    """A name for a restored pod, if none was given; cut so that pods' 63 characters of host name suffice."""
    return f"{source[:46].rstrip('-.')}-restored-{job_id[-6:]}"


def job_error(job: Job) -> KsnapError:
    """What made a job fail, with the ids by which more can be learned."""
    wire = WireError.model_validate(job.error)
    error = from_wire(wire, cancelled=job.status == JobStatus.CANCELLED)
    ids = f"job {job.id}" + (f", checkpoint {job.checkpoint_id}" if job.checkpoint_id else "")
    error.details = ". ".join(part for part in (error.details, ids) if part)
    return error
