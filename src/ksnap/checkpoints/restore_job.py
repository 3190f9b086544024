"""The job that starts a pod from checkpoint images on a node that can, and says by proof whether it was restored.

The pod is found again by its job's annotation, so a stage that runs twice makes one pod. Pull credentials are a
Secret of the job's name, owned by the pod and gone with it: no failure leaves them without their pod.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from ksnap.checkpoints.agents import AgentDirectory
from ksnap.checkpoints.engine import Stage
from ksnap.checkpoints.hook_run import HookRunner
from ksnap.checkpoints.hooks import Hook, Moment, hooks_of
from ksnap.checkpoints.job_log import JobLog, Progress, end_completed, end_failed
from ksnap.checkpoints.node_reports import NodeReports
from ksnap.checkpoints.patience import patiently, unless_cancelled
from ksnap.checkpoints.pod_spec import JOB_ANNOTATION, Placement, RestoredContainer, host_of, restored_pod
from ksnap.checkpoints.records import CheckpointRecords, recorded_pod
from ksnap.checkpoints.restore_nodes import Engine, choose
from ksnap.checkpoints.restore_proof import ContainerProof, prove, readiness, timings, why_not_ready
from ksnap.checkpoints.undoing import leftover, with_leftovers
from ksnap.configuration.registries import Registries
from ksnap.errors import AlreadyExists, KsnapError, NotFound, RestoreFailed
from ksnap.kube.connection import ClusterConnection, Json
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.pods import create_pod, delete_pod, get_pod, pod_events, wait_for_pod
from ksnap.kube.secrets import create_secret, delete_secret, own_secret, pull_secret
from ksnap.model.checkpoint_key import DOMAIN
from ksnap.model.digest import parse_digest
from ksnap.model.image import parse_image
from ksnap.node.client import AgentClient
from ksnap.node.protocol import ContainerEvidence, ImageRequest, PermittedPod
from ksnap.oci.restore_permit import RestorePermit, issue_permit
from ksnap.oci.signing_keys import SigningKey
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Checkpoint, Job

PATIENCE_S = 60.0
# A resumed job gives its pod this long at least: the time that the server was away is not the pod's fault.
LEAST_WAIT_S = 20.0
# A pod that failed to restore has nothing to say goodbye to.
UNDO_GRACE_S = 1
FETCH_TRIES = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """Stages and undo of a restore."""

    database: Database
    vault: Vault
    jobs: JobLog
    records: CheckpointRecords
    connections: ClusterConnections
    agents: AgentDirectory
    registries: Registries
    reports: NodeReports
    hooks: HookRunner
    signing_key: SigningKey

    @property
    def stages(self) -> Sequence[Stage]:
        return (
            Stage("fetch", self.fetch),
            Stage("create", self.create),
            Stage("wait", self.wait),
            Stage("hook", self.hook),
            Stage("prove", self.prove),
        )

    async def fetch(self, job_id: str) -> None:
        """Runtime engine: the images on the node, permitted to the pod that is to come. Else the kubelet pulls."""
        job = await self.jobs.get(job_id)
        if engine_of(job) == "runtime":
            node = job.request["placed_on"]
            await self.jobs.note(job, Progress("fetching", 5.0, f"Having the image unpacked on {node}"))
            await unless_cancelled(self.jobs, job_id, patiently(lambda: self._fetch(job), seconds=PATIENCE_S))

    async def create(self, job_id: str) -> None:
        """The pod and its pull credentials, once."""
        job = await self.jobs.get(job_id)
        await self.jobs.note(job, Progress("creating", 10.0, f"Creating pod {job.namespace}/{job.pod_name}"))
        await unless_cancelled(self.jobs, job_id, patiently(lambda: self._create(job), seconds=PATIENCE_S))

    async def wait(self, job_id: str) -> None:
        """Until the pod is ready, fails, or its time is up."""
        job = await self.jobs.get(job_id)
        await self.jobs.note(job, Progress("starting", 40.0, "Waiting for the pod to be ready"))
        await unless_cancelled(self.jobs, job_id, self._wait(job))

    async def hook(self, job_id: str) -> None:
        """Let restored processes connect and seed themselves anew, if their pod says how."""
        job = await self.jobs.get(job_id)
        checkpoints = [await self.records.get(each) for each in job.request["checkpoint_ids"]]
        hooks = hooks_of(
            recorded_pod(self.vault, checkpoints[0]),
            Moment.AFTER_RESTORE,
            [each.container_name for each in checkpoints],
        )
        if hooks:
            await unless_cancelled(self.jobs, job_id, self._run_hooks(job, hooks))

    async def prove(self, job_id: str) -> None:
        """Ask status and runtime whether it was a restore, and write the answer down."""
        job = await self.jobs.get(job_id)
        await self.jobs.note(job, Progress("proving", 90.0, "Reading the evidence"))
        result = await unless_cancelled(self.jobs, job_id, patiently(lambda: self._result(job), seconds=PATIENCE_S))
        async with self.database.writing() as session:
            await end_completed(session, job_id, result)
        log.info("pod_restored", pod=job.pod_name, node=result["node_name"], restored=result["restored"])

    async def undo(self, job_id: str, error: Exception) -> None:
        """Take the pod and its Secret away; a pod that is to be kept for a look keeps its Secret."""
        job = await self.jobs.get(job_id)
        settle_secret = self._remove_secret
        left = []
        if job.request["keep_failed"]:
            settle_secret = self._leave_secret_to_pod
        else:
            left.append(await leftover("pod", patiently(lambda: self._remove_pod(job), seconds=PATIENCE_S)))
        left.append(await leftover("secret", patiently(lambda: settle_secret(job), seconds=PATIENCE_S)))
        async with self.database.writing() as session:
            await end_failed(session, job_id, with_leftovers(error, left))
        log.warning("restore_failed", pod=job.pod_name, error=str(error), left=left)

    # Fetching

    async def _fetch(self, job: Job) -> None:
        agent = await self.agents.on_node(job.cluster_name, job.request["placed_on"])
        try:
            async with asyncio.timeout(job.request["timeout_s"]):
                for each in job.request["checkpoint_ids"]:
                    await self._fetch_one(agent, job, await self.records.get(each))
        except TimeoutError as error:
            raise RestoreFailed(
                "The image was not on the node in time",
                details=f"after {job.request['timeout_s']:g} s, node {job.request['placed_on']}",
                hint="Give it more time (timeout_s)",
            ) from error

    async def _fetch_one(self, agent: AgentClient, job: Job, checkpoint: Checkpoint) -> None:
        image = parse_image(checkpoint.image or "")
        access = (await self.registries.get(checkpoint.registry_name or "")).access
        request = ImageRequest(
            repository=f"{image.host}/{image.repository}",
            registry=access,
            public_keys=self.signing_key.public_key.pem,
            pods=(PermittedPod(namespace=job.namespace, pod=job.pod_name, container=checkpoint.container_name),),
        )
        digest = checkpoint.image_digest or ""
        for left in reversed(range(FETCH_TRIES)):
            await agent.prefetch_image(digest, request)
            try:
                await agent.image_ready(digest)
            except NotFound:
                # The agent was restarted in the middle, and has forgotten the pull.
                if not left:
                    raise
            else:
                return

    # Creating

    async def _create(self, job: Job) -> None:
        connection = await self.connections.get(job.cluster_name)
        pod = await self._own_pod(connection, job)
        secret = await self._secret(connection, job) if engine_of(job) == "image" else None
        if pod is None:
            pod = await self._create_pod(connection, job, secret)
        if secret is not None:
            await own_secret(connection, job.namespace, secret, pod)

    async def _create_pod(self, connection: ClusterConnection, job: Job, secret: str | None) -> Json:
        checkpoints = [await self.records.get(each) for each in job.request["checkpoint_ids"]]
        wanted = job.request["node_name"]
        source = recorded_pod(self.vault, checkpoints[0])
        nodes = await self._nodes(job, source)
        permits = await self._permits(job, checkpoints) if engine_of(job) == "runtime" else {}
        manifest = restored_pod(
            source,
            name=job.pod_name,
            namespace=job.namespace,
            containers=[restored_container(each) for each in checkpoints],
            placement=Placement(nodes, chosen_by_user=wanted is not None),
            job_id=job.id,
            pull_secret=secret,
            engine=engine_of(job),
            permits=permits,
        )
        try:
            return await create_pod(connection, job.namespace, manifest)
        except AlreadyExists:
            # A try whose answer was lost may have made it.
            found = await self._own_pod(connection, job)
            if found is None:
                raise
            return found

    async def _permits(self, job: Job, checkpoints: Sequence[Checkpoint]) -> dict[str, str]:
        """A signed permit for each container: its node knows the pod already, a node that it is moved to does not."""
        wanted = {
            each.container_name: RestorePermit(
                cluster=job.cluster_name,
                namespace=job.namespace,
                pod=job.pod_name,
                container=each.container_name,
                digest=each.image_digest or "",
            )
            for each in checkpoints
        }

        def issued() -> dict[str, str]:
            return {name: issue_permit(self.signing_key, permit, now=time.time()) for name, permit in wanted.items()}

        return await asyncio.to_thread(issued)

    async def _nodes(self, job: Job, source: Json) -> list[str]:
        if engine_of(job) == "runtime":
            return [job.request["placed_on"]]
        wanted = job.request["node_name"]
        reports = await self.reports.for_restore(job.cluster_name, wanted)
        return choose(reports, wanted, "image", bound_to=host_of(source)).nodes

    async def _secret(self, connection: ClusterConnection, job: Job) -> str | None:
        """The name of the pull Secret, made if it is not there; None where the registry wants no account."""
        checkpoints = [await self.records.get(each) for each in job.request["checkpoint_ids"]]
        names = sorted({each.registry_name or "" for each in checkpoints})
        accounts = [(await self.registries.get(each)).access for each in names]
        if not any(each.username for each in accounts):
            return None
        name = secret_name(job.id)
        secret = pull_secret(name, [each for each in accounts if each.username], labels={JOB_ANNOTATION: job.id})
        try:
            await create_secret(connection, job.namespace, secret)
        except AlreadyExists:
            log.info("pull_secret_was_there", secret=name)
        return name

    async def _own_pod(self, connection: ClusterConnection, job: Job) -> Json | None:
        """The pod, if this job has made it; AlreadyExists if somebody else has."""
        try:
            pod = await get_pod(connection, job.namespace, job.pod_name)
        except NotFound:
            return None
        if (pod["metadata"].get("annotations") or {}).get(JOB_ANNOTATION) != job.id:
            raise AlreadyExists(
                "A pod of that name exists", details=f"pod {job.namespace}/{job.pod_name}", hint="Choose another name"
            )
        return pod

    # Waiting

    async def _wait(self, job: Job) -> None:
        connection = await self.connections.get(job.cluster_name)
        until = job.created_at.timestamp() + job.request["timeout_s"]
        deadline_s = max(until - time.time(), LEAST_WAIT_S if _is_late(job) else 0.0)
        try:
            await wait_for_pod(connection, job.namespace, job.pod_name, readiness, deadline_s=deadline_s)
        except TimeoutError as error:
            pod = await get_pod(connection, job.namespace, job.pod_name)
            raise RestoreFailed(
                "The restored pod was not ready in time",
                details=f"after {job.request['timeout_s']:g} s: {why_not_ready(pod)}",
                hint="Give it more time (timeout_s), or look at it with keep_failed",
            ) from error

    # Running hooks

    async def _run_hooks(self, job: Job, hooks: Sequence[Hook]) -> None:
        """In what was restored alone: a process that started cold has just connected and seeded itself, and a restore
        may never be worse than a cold start."""
        proofs = await patiently(lambda: self._pod_proofs(job), seconds=PATIENCE_S)
        restored = {each.container for each in proofs if each.restored}
        cold = [each.container for each in hooks if each.container not in restored]
        if cold:
            await self.jobs.note(job, Progress("hook", 85.0, f"Started cold, so without its hook: {', '.join(cold)}"))
        await self.hooks.run(job, Moment.AFTER_RESTORE, [each for each in hooks if each.container in restored])

    async def _pod_proofs(self, job: Job) -> list[ContainerProof]:
        connection = await self.connections.get(job.cluster_name)
        return await self._proofs(job, await get_pod(connection, job.namespace, job.pod_name))

    # Proving

    async def _result(self, job: Job) -> dict[str, Any]:
        connection = await self.connections.get(job.cluster_name)
        pod = await get_pod(connection, job.namespace, job.pod_name)
        proofs = await self._proofs(job, pod)
        events = await self._events(connection, job, pod)
        took_s = round((datetime.now(UTC) - job.created_at).total_seconds(), 3)
        return {
            "restored": all(each.restored for each in proofs),
            "pod_name": job.pod_name,
            "pod_uid": pod["metadata"]["uid"],
            "namespace": job.namespace,
            "cluster_name": job.cluster_name,
            "engine": engine_of(job),
            "node_name": pod["spec"]["nodeName"],
            "containers": [asdict(each) for each in proofs],
            "timings": timings(pod, events) | {"total_s": took_s},
        }

    async def _proofs(self, job: Job, pod: Json) -> list[ContainerProof]:
        return [await self._proof(job, pod, await self.records.get(each)) for each in job.request["checkpoint_ids"]]

    async def _proof(self, job: Job, pod: Json, checkpoint: Checkpoint) -> ContainerProof:
        agent = await self.agents.on_node(job.cluster_name, pod["spec"]["nodeName"])
        statuses = {each["name"]: each for each in pod["status"].get("containerStatuses") or []}
        container_id = statuses[checkpoint.container_name]["containerID"]
        return prove(
            checkpoint.container_name,
            checkpoint.id,
            pod=pod,
            original_image=checkpoint.key[f"{DOMAIN}/original-image"],
            original_digest=checkpoint.key[f"{DOMAIN}/original-digest"],
            evidence=await _evidence(agent, container_id),
        )

    async def _events(self, connection: ClusterConnection, job: Job, pod: Json) -> list[Json]:
        """They tell how long the pull took and nothing else: no reason to take a pod away that runs."""
        try:
            return await pod_events(connection, job.namespace, pod["metadata"]["uid"])
        except KsnapError as error:
            log.info("pod_events_not_read", job=job.id, error=error.message, details=error.details)
            return []

    # Undoing

    async def _remove_pod(self, job: Job) -> None:
        connection = await self.connections.get(job.cluster_name)
        pod = await self._made_pod(connection, job)
        if pod is not None:
            uid = pod["metadata"]["uid"]
            await delete_pod(connection, job.namespace, job.pod_name, uid=uid, grace_s=UNDO_GRACE_S)

    async def _remove_secret(self, job: Job) -> None:
        connection = await self.connections.get(job.cluster_name)
        await delete_secret(connection, job.namespace, secret_name(job.id))

    async def _leave_secret_to_pod(self, job: Job) -> None:
        """Credentials stay only where a pod is there that takes them along at its end."""
        connection = await self.connections.get(job.cluster_name)
        pod = await self._made_pod(connection, job)
        if pod is None or not await self._is_owned(connection, job, pod):
            await delete_secret(connection, job.namespace, secret_name(job.id))

    async def _is_owned(self, connection: ClusterConnection, job: Job, pod: Json) -> bool:
        """Make the pod the owner once more: the stage may have ended between the two."""
        try:
            await own_secret(connection, job.namespace, secret_name(job.id), pod)
        except ClusterUnreachable:
            raise
        except KsnapError as error:
            log.info("pull_secret_not_owned", job=job.id, error=error.message, details=error.details)
            return False
        return True

    async def _made_pod(self, connection: ClusterConnection, job: Job) -> Json | None:
        """The pod, if this job has made one; another's of that name is none."""
        try:
            return await self._own_pod(connection, job)
        except AlreadyExists:
            return None


async def _evidence(agent: AgentClient, container_id: str) -> ContainerEvidence:
    """The runtime's record; that there is none proves nothing, and is no reason to take a pod away that runs."""
    try:
        return await agent.container(container_id)
    except NotFound as error:
        return ContainerEvidence(container_id=container_id, restored=False, record=error.message)


def engine_of(job: Job) -> Engine:
    """As it was chosen when the job began; a job of a former version has none noted."""
    return "runtime" if job.request.get("engine") == "runtime" else "image"


def secret_name(job_id: str) -> str:
    return f"ksnap-pull-{job_id}"


def restored_container(checkpoint: Checkpoint) -> RestoredContainer:
    """The container's new image: pinned by digest, since a tag may move."""
    image = parse_image(checkpoint.image or "")
    pinned = image.pinned(parse_digest(checkpoint.image_digest or ""))
    return RestoredContainer(checkpoint.container_name, checkpoint.id, str(pinned))


def _is_late(job: Job) -> bool:
    """Whether the job was taken up when its own time was over, or nearly."""
    timeout_s: float = job.request["timeout_s"]
    return time.time() > job.created_at.timestamp() + timeout_s - LEAST_WAIT_S
