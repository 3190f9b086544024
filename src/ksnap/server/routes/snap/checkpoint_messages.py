"""Checkpoints in requests and replies (contract, section 3.1)."""

from typing import Any, Literal

from pydantic import Field

from ksnap.checkpoints.destination import DEFAULT, WantedImage
from ksnap.checkpoints.human_size import human_size
from ksnap.checkpoints.names import checkpoint_path
from ksnap.checkpoints.records import shown_status
from ksnap.checkpoints.restore_nodes import Engine, WantedEngine
from ksnap.node.protocol import FreezeEngine, WantedFreezeEngine
from ksnap.server.messages import Reply, Request, Timestamp
from ksnap.server.routes.snap.names import (
    ClusterName,
    ContainerName,
    Id,
    ImageName,
    Namespace,
    NodeName,
    PodName,
    RegistryName,
    TagName,
)
from ksnap.store.tables import Checkpoint, Job

Status = Literal["running", "completed", "failed"]


class Freeze(Request):
    pod_name: PodName
    namespace: Namespace
    cluster_name: ClusterName
    node_name: NodeName | None = None
    """The pod's own node; may be left out."""
    container_name: ContainerName | None = None
    """May be left out if the pod has only one."""


class FreezeAsFast(Freeze):
    """Ours: by the faster engine, and where to in one body."""

    engine: WantedFreezeEngine = "auto"
    """`runtime`: straight from the node's OCI runtime, for pods of the class ksnap; `auto`: that wherever it is had."""
    push: bool = False
    """Insist on an image, though the cluster has no registry of its own; implied by the next three."""
    registry: RegistryName | None = None
    """A registry configuration; else the cluster's, or the only one there is."""
    image_name: ImageName | None = None
    """Repository below the registry; generated if absent."""
    tag: TagName | None = None

    def wanted_image(self) -> WantedImage | None:
        if not (self.push or self.registry or self.image_name or self.tag):
            return None
        return WantedImage(self.registry or DEFAULT, self.image_name, self.tag)


class FreezeAndPush(Request):
    namespace: Namespace
    cluster: ClusterName
    registry: RegistryName | None = None
    """A registry configuration; wins over the query's checkpoint_config_name."""
    image_name: ImageName | None = None
    """Repository below the registry; generated if absent."""
    tag: TagName | None = None


class Restore(Request):
    pod_name: PodName | None = None
    """Name of the new pod; generated if absent."""
    namespace: Namespace | None = None
    cluster_name: ClusterName | None = None
    node_name: NodeName | None = None
    """A node that can restore; any such node if absent."""
    checkpoint_ids: list[Id] | None = Field(default=None, max_length=100)
    """Further checkpoints, for the pod's other containers."""
    timeout_s: float = Field(default=300.0, ge=1, le=86400)
    """How long the pod may take to be ready."""
    engine: WantedEngine = "auto"
    """`runtime`: below the container runtime, the pod keeps its image; `image`: by the runtime itself."""
    keep_failed: bool = False
    """Leave a pod that did not become ready where it is, for a look at it."""


class Frozen(Reply):
    success: Literal[True] = True
    message: str
    pod_id: str
    container_ids: list[str]
    checkpoint_path: str
    checkpoint_id: str
    job_id: str
    status: Status
    filename: str
    size_bytes: int | None
    """None while the job runs (wait=false)."""
    created_at: Timestamp


class PushResult(Reply):
    message: str
    image_tag: str


class FrozenAndPushed(Reply):
    success: Literal[True] = True
    message: str
    checkpoint_result: Frozen
    push_result: PushResult
    image_tag: str
    pod_name: str
    container_name: str
    digest: str | None
    """The index's digest; None while the job runs (wait=false)."""
    checkpoint_id: str
    job_id: str
    status: Status


class ListedCheckpoint(Reply):
    id: str
    pod_name: str
    namespace: str
    created_at: Timestamp
    size: str
    status: Status
    filename: str
    container_name: str
    node_name: str
    cluster_name: str
    size_bytes: int | None
    image: str | None
    error: str | None


class CheckpointList(Reply):
    checkpoints: list[ListedCheckpoint]


class CheckpointDetails(ListedCheckpoint):
    """All that is recorded of one checkpoint."""

    pod_uid: str
    container_id: str
    checkpoint_path: str
    created_by: str
    completed_at: Timestamp | None
    owner_label: str
    archive_digest: str | None
    compressed_bytes: int | None
    freeze_engine: FreezeEngine | None
    frozen_us: int | None
    pinned: bool
    """Whether retention policies leave it alone."""
    """Microseconds for which the processes stood still, as CRIU measured it."""
    image_digest: str | None
    registry_name: str | None
    error_code: str | None
    key: dict[str, str]
    annotations: dict[str, str]


class RestoredContainer(Reply):
    container: str
    checkpoint_id: str
    restored: bool
    base_image: str
    restart_count: int
    runtime_says_restored: bool
    record: str


class Restored(Reply):
    """A pod that became ready; `restored` says by proof whether from the checkpoint."""

    success: Literal[True] = True
    message: str
    restored: bool
    engine: Engine
    pod_name: str
    pod_uid: str
    namespace: str
    cluster_name: str
    node_name: str
    containers: list[RestoredContainer]
    timings: dict[str, str | float | None]
    job_id: str
    checkpoint_id: str | None


class Deleted(Reply):
    success: Literal[True] = True
    message: str
    job_id: str | None
    checkpoint_id: str


def frozen(checkpoint: Checkpoint, job: Job) -> Frozen:
    done = checkpoint.status == "completed"
    return Frozen(
        message=f"Container {checkpoint.container_name} of pod {checkpoint.pod_name} "
        + ("was frozen" if done else "is being frozen"),
        pod_id=checkpoint.pod_uid,
        container_ids=[checkpoint.container_id],
        checkpoint_path=path_of(checkpoint),
        checkpoint_id=checkpoint.id,
        job_id=job.id,
        status="completed" if done else "running",
        filename=checkpoint.filename,
        size_bytes=checkpoint.size_bytes,
        created_at=checkpoint.created_at,
    )


def frozen_and_pushed(checkpoint: Checkpoint, job: Job, image: str) -> FrozenAndPushed:
    result = frozen(checkpoint, job)
    done = result.status == "completed"
    return FrozenAndPushed(
        message=result.message + (" and pushed" if done else ""),
        checkpoint_result=result,
        push_result=PushResult(message=f"Image {image} {'was' if done else 'is being'} pushed", image_tag=image),
        image_tag=image,
        pod_name=checkpoint.pod_name,
        container_name=checkpoint.container_name,
        digest=checkpoint.image_digest,
        checkpoint_id=checkpoint.id,
        job_id=job.id,
        status=result.status,
    )


def listed(checkpoint: Checkpoint) -> ListedCheckpoint:
    return ListedCheckpoint.model_validate(_fields(checkpoint))


def details(checkpoint: Checkpoint) -> CheckpointDetails:
    extra: dict[str, Any] = {
        "checkpoint_path": path_of(checkpoint),
        "annotations": checkpoint.archive_annotations,
    }
    return CheckpointDetails.model_validate(_fields(checkpoint) | extra)


def path_of(checkpoint: Checkpoint) -> str:
    return checkpoint_path(
        cluster=checkpoint.cluster_name,
        namespace=checkpoint.namespace,
        pod=checkpoint.pod_name,
        filename=checkpoint.filename,
    )


def _fields(checkpoint: Checkpoint) -> dict[str, Any]:
    columns = {name: getattr(checkpoint, name) for name in Checkpoint.__table__.columns.keys()}  # noqa: SIM118
    return columns | {"size": human_size(checkpoint.size_bytes), "status": shown_status(checkpoint.status)}
