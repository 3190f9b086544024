"""Plans a freeze with the cluster's own words, and writes checkpoint and job down; nothing was made before that.

Everything that can be refused at once is refused here, so that a caller who does not wait learns it too.
"""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from ksnap.checkpoints.destination import Destinations, ImageDestination, WantedImage
from ksnap.checkpoints.hook_run import HookRunner
from ksnap.checkpoints.hooks import Moment, hooks_of
from ksnap.checkpoints.images import ARCHITECTURE
from ksnap.checkpoints.job_log import JobKind, new_job
from ksnap.checkpoints.names import archive_filename, new_id
from ksnap.checkpoints.node_reports import NodeReports
from ksnap.checkpoints.plan import CapturePlan, plan_capture, plan_key
from ksnap.checkpoints.records import CheckpointRecords, CheckpointStatus
from ksnap.errors import CheckpointFailed, Conflict, NotFound
from ksnap.kube.connection import Json
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.nodes import get_node
from ksnap.kube.pods import get_pod
from ksnap.model.checkpoint_key import DOMAIN, RUNTIME_CLASS, CheckpointKey
from ksnap.node.protocol import NOT_TRIED, NodeReport, WantedFreezeEngine
from ksnap.store.encryption import Vault
from ksnap.store.tables import Checkpoint, Job

# An agent looks at its node within seconds of its start.
LOOK_PATIENCE_S = 15.0
CHECKPOINT_ID = f"{DOMAIN}/checkpoint-id"


@dataclass(frozen=True, slots=True)
class FreezeRequest:
    """Which container to freeze, and where its image goes; without `image` the cluster's registry, else no image."""

    cluster: str
    namespace: str
    pod: str
    node: str | None = None
    container: str | None = None
    image: WantedImage | None = None
    engine: WantedFreezeEngine = "auto"


@dataclass(frozen=True, slots=True)
class Freezing:
    """Plans and begins freezes."""

    connections: ClusterConnections
    reports: NodeReports
    destinations: Destinations
    records: CheckpointRecords
    vault: Vault
    hooks: HookRunner
    dump_timeout_s: float

    async def begin(self, request: FreezeRequest, *, by: str) -> Job:
        """The job, written down and not yet started; refusals come out."""
        pod = await self._pod(request)
        plan = plan_capture(request.cluster, pod, node=request.node, container=request.container)
        hooks = hooks_of(pod, Moment.BEFORE_FREEZE, [plan.container])
        await self.hooks.check(plan.cluster, plan.namespace, hooks)
        report = await self._report(plan)
        check_can_freeze(report)
        check_engine(request.engine, pod, report)
        key = plan_key(plan, pod, architecture=report.architecture)
        destination = await self._destination(request, key, plan)
        now = datetime.now(UTC)
        checkpoint = self._checkpoint(plan, key, report, pod, by=by, now=now)
        job = new_job(
            new_id(now, secrets.token_bytes(4)),
            JobKind.CHECKPOINT,
            cluster=plan.cluster,
            namespace=plan.namespace,
            pod=plan.pod,
            by=by,
            checkpoint_id=checkpoint.id,
            request={
                "destination": destination.request() if destination else {"kind": "server"},
                "timeout_s": self.dump_timeout_s,
                "engine": request.engine,
            },
            now=now,
        )
        await self.records.begin(checkpoint, job)
        return job

    async def _report(self, plan: CapturePlan) -> NodeReport:
        """The node's own word; an agent that has just started is given time to look."""
        until = time.monotonic() + LOOK_PATIENCE_S
        while True:
            report = await self.reports.of_node(plan.cluster, plan.node)
            if not any(NOT_TRIED in each for each in report.checks.values()) or time.monotonic() > until:
                return report
            await asyncio.sleep(0.5)

    async def _pod(self, request: FreezeRequest) -> Json:
        connection = await self.connections.get(request.cluster)
        try:
            return await get_pod(connection, request.namespace, request.pod)
        except NotFound:
            if request.node is not None:
                await get_node(connection, request.node)
            raise

    async def _destination(
        self, request: FreezeRequest, key: CheckpointKey, plan: CapturePlan
    ) -> ImageDestination | None:
        if request.image is None:
            return await self.destinations.of_cluster(key, first_container=plan.first_container)
        return await self.destinations.chosen(request.image, key, first_container=plan.first_container)

    def _checkpoint(
        self, plan: CapturePlan, key: CheckpointKey, report: NodeReport, pod: Json, *, by: str, now: datetime
    ) -> Checkpoint:
        checkpoint_id = new_id(now, secrets.token_bytes(4))
        annotations = key.annotations() | {CHECKPOINT_ID: checkpoint_id, ARCHITECTURE: report.architecture}
        return Checkpoint(
            id=checkpoint_id,
            cluster_name=plan.cluster,
            namespace=plan.namespace,
            pod_name=plan.pod,
            pod_uid=plan.pod_uid,
            container_name=plan.container,
            container_id=plan.container_id,
            node_name=plan.node,
            status=CheckpointStatus.RUNNING,
            filename=archive_filename(
                pod=plan.pod,
                namespace=plan.namespace,
                container=plan.container,
                at=now,
                checkpoint_id=checkpoint_id,
            ),
            key=annotations,
            key_digest=key.digest(),
            pod_encrypted=self.vault.encrypt(json.dumps(pod, separators=(",", ":")).encode()),
            created_at=now,
            created_by=by,
            archive_annotations={},
        )


def check_engine(wanted: WantedFreezeEngine, pod: Json, report: NodeReport) -> None:
    """Conflict where the runtime engine is insisted on and cannot be had."""
    if wanted != "runtime":
        return
    if pod["spec"].get("runtimeClassName") != RUNTIME_CLASS:
        raise Conflict(
            "The runtime engine cannot freeze the container",
            details=f"engine: pod {pod['metadata']['namespace']}/{pod['metadata']['name']} has not the runtime class "
            f"{RUNTIME_CLASS}",
            hint=f"Give the pod runtimeClassName: {RUNTIME_CLASS}, or use the engine auto or kubelet",
        )
    if report.restore_supported != "runtime":
        raise Conflict(
            "The runtime engine cannot freeze the container",
            details=f"engine: node {report.node_name}: {report.restore_reason}",
            hint="See what the node lacks with: ksnap doctor; or use the engine auto or kubelet",
        )


def check_can_freeze(report: NodeReport) -> None:
    """CheckpointFailed if the node's agent says that its node cannot checkpoint."""
    if not report.checkpointing_enabled:
        failed = [f"{name}: {value}" for name, value in sorted(report.checks.items()) if "fail" in value]
        raise CheckpointFailed(
            "The node cannot freeze containers",
            details=f"node {report.node_name}: " + ("; ".join(failed) or "checkpointing is not enabled"),
            hint="The node needs CRIU, a runtime with CRIU support, and a kubelet that serves its checkpoint endpoint",
        )
