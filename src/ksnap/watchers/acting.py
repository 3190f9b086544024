"""Freezes one container for a watcher: claim, warm up, freeze, wait for the end, maybe delete the pod.

Whatever comes of it is told as an event. What is not done yet has a time at which it is worth another look; what
waits for the pod itself has none, for the watch will say.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ksnap.checkpoints.freezing import FreezeRequest
from ksnap.checkpoints.job_log import JobStatus, Progress
from ksnap.checkpoints.service import Checkpoints, job_error
from ksnap.errors import Conflict, JobCancelled, KsnapError, NotFound, Unavailable
from ksnap.identity.principal import Principal, Role
from ksnap.kube.connection import ClusterConnection, Json
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.pods import get_pod
from ksnap.model.checkpoint_key import checkpoint_key
from ksnap.store.tables import Checkpoint, Job, WatcherClaim
from ksnap.watchers.claims import Claims, Refused, Wanted, Why
from ksnap.watchers.definition import Definition
from ksnap.watchers.deleting import Deleting, evict
from ksnap.watchers.events import PodId, Told, WatcherEvents
from ksnap.watchers.records import WatcherRecords, sentence
from ksnap.watchers.rules import containers, unfit
from ksnap.watchers.triggers import settled_at
from ksnap.watchers.warming import warm_up

# Reading a pod, asking its node, writing the job down: many pods become ready in one moment.
AT_ONCE = 16
# Up to the job's beginning, beside the warm-up: an agent that has just started is given time to look.
BEGIN_S = 60.0
# When something passing was in the way: an API server that restarts, an agent that is not there yet. What does not pass
# is asked for less and less often.
PASSING = timedelta(seconds=10)
LONGEST_PASSING = timedelta(minutes=5)
TASK_NAME = "SnapWatcher"
_TOLD = {
    Why.EXISTS: Told.EXISTS,
    Why.TRIED: Told.EXISTS,
    Why.IN_FLIGHT: Told.WAITING,
    Why.LATER: Told.WAITING,
    Why.GIVEN_UP: Told.GIVEN_UP,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a pod is: through with it, or when to look again, or neither: its next change will tell."""

    is_final: bool = False
    again_at: datetime | None = None


FINAL = Outcome(is_final=True)
AT_ITS_CHANGE = Outcome()


@dataclass(frozen=True, slots=True)
class Acting:
    """Acts for all watchers of one server."""

    checkpoints: Checkpoints
    claims: Claims
    events: WatcherEvents
    records: WatcherRecords
    deleting: Deleting
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    busy: dict[str, asyncio.Event] = field(default_factory=dict)
    """Keys that this process works on; each event tells of the end, so that a hundred replicas need not ask for it."""
    stumbles: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """How often something passing was in a pod's way, by its cluster, namespace and name."""

    async def act(self, watcher: Definition, namespace: str, name: str, occasion: str) -> Outcome:
        """Freeze what is to be frozen of a pod."""
        connection = await self.checkpoints.connections.get(watcher.cluster)
        try:
            async with self.gate:
                pod = await get_pod(connection, namespace, name)
        except NotFound:
            self.stumbles.pop((watcher.cluster, namespace, name), None)
            return FINAL
        except ClusterUnreachable:
            return self._later(watcher.cluster, namespace, name)
        chosen = containers(pod, watcher)
        if not chosen:
            await self._tell(watcher, pod, "", Told.IGNORED, "it has none of the containers that are to be frozen")
            return FINAL
        # One after another: the runtime freezes one container of a pod at a time.
        outcomes = [await self._container(watcher, connection, pod, each, occasion) for each in chosen]
        times = [each.again_at for each in outcomes if each.again_at is not None]
        return Outcome(all(each.is_final for each in outcomes), min(times, default=None))

    async def _container(
        self, watcher: Definition, connection: ClusterConnection, pod: Json, container: str, occasion: str
    ) -> Outcome:
        now = datetime.now(UTC)
        if why := unfit(pod, container):
            await self._tell(watcher, pod, container, Told.WAITING, why)
            return AT_ITS_CHANGE
        due = settled_at(pod, container, watcher.options.settle_s)
        if due > now:
            await self._tell(watcher, pod, container, Told.WAITING, f"it settles for {watcher.options.settle_s:g} s")
            return Outcome(again_at=due)
        try:
            async with self.gate:
                wanted = await self._wanted(watcher, pod, container, occasion)
        except KsnapError as error:
            await self._tell(watcher, pod, container, Told.WAITING, sentence(error))
            return self._later(watcher.cluster, pod["metadata"]["namespace"], pod["metadata"]["name"])
        claim = await self._claim(wanted)
        if isinstance(claim, Refused):
            await self._tell(watcher, pod, container, _TOLD[claim.why], claim.message)
            return FINAL if claim.again_at is None else Outcome(again_at=claim.again_at)
        with self._at_work(claim):
            return await self._freeze(watcher, connection, claim)

    async def _claim(self, wanted: Wanted) -> WatcherClaim | Refused:
        """The claim; where this very process works on the key, what is true when that has ended."""
        while True:
            found = await self.claims.take(wanted, datetime.now(UTC))
            busy = self.busy.get(wanted.key_digest)
            if busy is None or not isinstance(found, Refused) or found.why is not Why.IN_FLIGHT:
                return found
            await busy.wait()

    @contextmanager
    def _at_work(self, claim: WatcherClaim) -> Iterator[None]:
        ended = self.busy.setdefault(claim.key_digest, asyncio.Event())
        try:
            yield
        finally:
            self.busy.pop(claim.key_digest, None)
            ended.set()

    async def _wanted(self, watcher: Definition, pod: Json, container: str, occasion: str) -> Wanted:
        node = str(pod["spec"].get("nodeName", ""))
        reports = await self.checkpoints.reports.stored(watcher.cluster)
        report = next((each for each in reports if each.node_name == node), None)
        if report is None:
            report = await self.checkpoints.reports.of_node(watcher.cluster, node)
        key = checkpoint_key(watcher.cluster, pod, container, architecture=report.architecture)
        metadata = pod["metadata"]
        return Wanted(
            key.digest(), occasion, watcher.name, watcher.cluster, metadata["namespace"], metadata["name"],
            metadata["uid"], container,
        )  # fmt: skip

    async def _freeze(self, watcher: Definition, connection: ClusterConnection, claim: WatcherClaim) -> Outcome:
        try:
            async with self.gate, asyncio.timeout(BEGIN_S + _warm_up_s(watcher)):  # the gate's wait does not count
                if watcher.options.warm_up is not None:
                    await warm_up(connection, claim.namespace, claim.pod_name, watcher.options.warm_up)
                job_id = (await self._begun(watcher, claim)).id
        except (ClusterUnreachable, Unavailable, TimeoutError) as error:
            # It may have begun all the same.
            begun = await self.claims.job_of(claim)
            if begun is None:
                why = sentence(error) if isinstance(error, KsnapError) else "it took too long to begin"
                return await self._released(claim, why, self._later_for(claim))
            job_id = begun
        except NotFound as error:
            return await self._released(claim, sentence(error), FINAL)
        except Conflict as error:  # it is being frozen by somebody else, or was replaced: nobody's failure
            return await self._released(claim, sentence(error), self._later_for(claim))
        except KsnapError as error:
            return await self._failed(claim, error)
        self.stumbles.pop((claim.cluster_name, claim.namespace, claim.pod_name), None)
        await self.claims.begun(claim, job_id)
        await self._told(claim, Told.FREEZING, f"job {job_id} freezes container {claim.container_name}", job_id)
        return await self._follow(watcher, claim, job_id)

    async def _begun(self, watcher: Definition, claim: WatcherClaim) -> Job:
        request = FreezeRequest(
            cluster=claim.cluster_name, namespace=claim.namespace, pod=claim.pod_name, container=claim.container_name
        )
        return await self.checkpoints.freeze(Principal(watcher.started_by, Role.OPERATOR), request)

    async def resume(self, watcher: Definition, claim: WatcherClaim, job_id: str) -> Outcome:
        """Go on with what an earlier process had begun."""
        with self._at_work(claim):
            return await self._follow(watcher, claim, job_id)

    async def _follow(self, watcher: Definition, claim: WatcherClaim, job_id: str) -> Outcome:
        """Wait for the job's end, whichever process runs it, and draw the conclusions."""
        job = await self.checkpoints.engine.wait(job_id)
        if job.status != JobStatus.COMPLETED:
            return await self._failed(claim, job_error(job))
        checkpoint = await self.checkpoints.records.get(job.checkpoint_id or "")
        if checkpoint.key_digest != claim.key_digest:
            why = "the pod was replaced by another of its name meanwhile"
            return await self._released(claim, why, self._later_for(claim))
        where = checkpoint.image or "the blob store"
        await self._told(claim, Told.FROZEN, f"checkpoint {checkpoint.id} is in {where}", job_id)
        if watcher.auto_delete_pod:
            await self._delete(claim, checkpoint, job)
        await self.claims.done(claim)
        return FINAL

    async def _delete(self, claim: WatcherClaim, checkpoint: Checkpoint, job: Job) -> None:
        obstacle = await self._not_deleted(claim, checkpoint)
        event, stage = (Told.KEPT, "pod_kept") if obstacle else (Told.DELETED, "pod_deleted")
        text = f"the pod stays: {obstacle}" if obstacle else "the pod was evicted: its successor starts from it"
        await self._told(claim, event, text, job.id)
        # The contract wants the reason as a frame of progress, too.
        await self.checkpoints.jobs.note(job, Progress(stage, 100.0, text, task_name=TASK_NAME))

    async def _not_deleted(self, claim: WatcherClaim, checkpoint: Checkpoint) -> str:
        """Why the pod stays; empty if it goes."""
        try:
            connection = await self.checkpoints.connections.get(claim.cluster_name)
            pod = await get_pod(connection, claim.namespace, claim.pod_name)
        except KsnapError as error:
            return f"it cannot be looked at: {error.message}"
        obstacle = await self.deleting.obstacle(pod, checkpoint)
        if obstacle:
            return obstacle
        if not await self.claims.first_deletion(claim):
            return "a pod was deleted for this checkpoint key before"
        return await evict(connection, claim.namespace, claim.pod_name, uid=claim.pod_uid)

    async def _failed(self, claim: WatcherClaim, error: KsnapError) -> Outcome:
        again = await self.claims.failed(claim, datetime.now(UTC), final=isinstance(error, JobCancelled))
        why = sentence(error)
        if again is not None:
            await self._told(claim, Told.FAILED, f"try {claim.attempts + 1} failed: {why}")
            return Outcome(again_at=again)
        pod = f"{claim.namespace}/{claim.pod_name}, container {claim.container_name}"
        await self._told(claim, Told.GIVEN_UP, f"try {claim.attempts + 1} failed, and was the last: {why}")
        told = f"Pod {pod} was given up after {claim.attempts + 1} tries: {why}"
        await self.records.gave_up(claim.watcher_name, told)
        return FINAL

    def _later(self, cluster: str, namespace: str, pod: str) -> Outcome:
        count = self.stumbles[cluster, namespace, pod] = self.stumbles.get((cluster, namespace, pod), 0) + 1
        return Outcome(again_at=datetime.now(UTC) + min(PASSING * 2 ** min(count - 1, 9), LONGEST_PASSING))

    def _later_for(self, claim: WatcherClaim) -> Outcome:
        return self._later(claim.cluster_name, claim.namespace, claim.pod_name)

    async def _released(self, claim: WatcherClaim, why: str, outcome: Outcome) -> Outcome:
        await self.claims.release(claim)
        await self._told(claim, Told.WAITING, why)
        return outcome

    async def _told(self, claim: WatcherClaim, event: Told, message: str, job_id: str | None = None) -> None:
        pod = PodId(claim.namespace, claim.pod_name, claim.pod_uid, claim.container_name)
        await self.events.tell(claim.watcher_name, pod, event, message, job_id=job_id)

    async def _tell(self, watcher: Definition, pod: dict[str, Any], container: str, event: Told, message: str) -> None:
        metadata = pod["metadata"]
        one = PodId(metadata["namespace"], metadata["name"], metadata["uid"], container)
        await self.events.tell(watcher.name, one, event, message)


def _warm_up_s(watcher: Definition) -> float:
    wanted = watcher.options.warm_up
    return wanted.requests * wanted.timeout_s if wanted is not None else 0.0
