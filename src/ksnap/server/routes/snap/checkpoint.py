"""`/checkpoint/*` but downloads and insights: freeze, list, show, restore, cancel, delete (contract, section 3.1).

`restore`, `cancel`, `DELETE` and a single checkpoint's GET are ours. A client that goes away stops no job.
"""

from typing import Annotated

from fastapi import APIRouter, Body, Query

from ksnap.checkpoints.destination import DEFAULT, WantedImage
from ksnap.checkpoints.freezing import FreezeRequest
from ksnap.checkpoints.records import CheckpointFilter
from ksnap.checkpoints.service import RestoreRequest
from ksnap.errors import (
    AlreadyExists,
    CheckpointFailed,
    CheckpointTimedOut,
    ClusterConnectionFailed,
    ClusterNotFound,
    Conflict,
    ImagePushFailed,
    InsufficientStorage,
    NotFound,
    RegistryConnectionFailed,
    RestoreFailed,
)
from ksnap.identity.principal import Principal
from ksnap.server.access import Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.routes.snap.checkpoint_messages import (
    CheckpointDetails,
    CheckpointList,
    Deleted,
    Freeze,
    FreezeAndPush,
    FreezeAsFast,
    Frozen,
    FrozenAndPushed,
    Restore,
    Restored,
    Status,
    details,
    frozen,
    frozen_and_pushed,
    listed,
)
from ksnap.server.routes.snap.job_messages import JobItem, JobStarted, Wait, job_item, started
from ksnap.server.routes.snap.names import ClusterName, ContainerName, Id, Namespace, NodeName, PodName, RegistryName
from ksnap.server.services import InServices, Services

router = APIRouter(prefix="/checkpoint", tags=["checkpoints"], route_class=RightFirst)

_FREEZING = (
    ClusterNotFound,
    NotFound,
    Conflict,
    ClusterConnectionFailed,
    CheckpointFailed,
    CheckpointTimedOut,
    InsufficientStorage,
)
_PUSHING = (RegistryConnectionFailed, ImagePushFailed)


@router.post("/kubelet/checkpoint", summary="Freeze a container", responses=responses(*_FREEZING, *_PUSHING))
async def freeze(body: Freeze, who: Operator, services: InServices, *, wait: Wait = True) -> Frozen:
    """The container goes on running. Its archive goes to the cluster's registry as an image, else to the blob store."""
    asked = FreezeRequest(
        cluster=body.cluster_name,
        namespace=body.namespace,
        pod=body.pod_name,
        node=body.node_name,
        container=body.container_name,
        engine="kubelet",
    )
    return await _frozen(services, who, asked, wait=wait)


@router.post("/freeze", summary="Freeze a container, fast", responses=responses(*_FREEZING, *_PUSHING))
async def freeze_as_fast(body: FreezeAsFast, who: Operator, services: InServices, *, wait: Wait = True) -> Frozen:
    """As `/kubelet/checkpoint`, by the fastest engine that the container's node has; `show` tells which it was."""
    asked = FreezeRequest(
        cluster=body.cluster_name,
        namespace=body.namespace,
        pod=body.pod_name,
        node=body.node_name,
        container=body.container_name,
        image=body.wanted_image(),
        engine=body.engine,
    )
    return await _frozen(services, who, asked, wait=wait)


async def _frozen(services: Services, who: Principal, asked: FreezeRequest, *, wait: bool) -> Frozen:
    job = await services.checkpoints.freeze(who, asked)
    if wait:
        job = await services.checkpoints.ended(job)
    return frozen(await services.checkpoints.records.get(job.checkpoint_id or ""), job)


@router.post(
    "/kubelet/checkpoint-and-push", summary="Freeze a container and push it", responses=responses(*_FREEZING, *_PUSHING)
)
async def freeze_and_push(
    body: FreezeAndPush,
    who: Operator,
    services: InServices,
    *,
    pod_name: Annotated[PodName, Query()],
    node_name: Annotated[NodeName | None, Query()] = None,
    container_name: Annotated[ContainerName | None, Query()] = None,
    checkpoint_config_name: Annotated[RegistryName, Query(description="A registry configuration")] = DEFAULT,
    wait: Wait = True,
) -> FrozenAndPushed:
    """One pass from the node into the registry. `default` means the cluster's registry, else the only one there is."""
    asked = FreezeRequest(
        cluster=body.cluster,
        namespace=body.namespace,
        pod=pod_name,
        node=node_name,
        container=container_name,
        image=WantedImage(body.registry or checkpoint_config_name, body.image_name, body.tag),
        engine="kubelet",
    )
    job = await services.checkpoints.freeze(who, asked)
    if wait:
        job = await services.checkpoints.ended(job)
    goal = job.request["destination"]
    host = (await services.registries.get(goal["registry"])).access.host
    image = f"{host}/{goal['repository']}:{goal['tag']}"
    return frozen_and_pushed(await services.checkpoints.records.get(job.checkpoint_id or ""), job, image)


@router.get("/list", summary="List checkpoints, newest first", responses=responses())
async def list_checkpoints(
    who: Viewer,
    services: InServices,
    *,
    pod_name: Annotated[PodName | None, Query()] = None,
    namespace: Annotated[Namespace | None, Query()] = None,
    cluster_name: Annotated[ClusterName | None, Query()] = None,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
) -> CheckpointList:
    wanted = CheckpointFilter(pod_name, namespace, cluster_name, status, limit, offset)
    return CheckpointList(checkpoints=[listed(each) for each in await services.checkpoints.records.list(wanted)])


@router.get("/{checkpoint_id:id}", summary="Show one checkpoint", responses=responses(NotFound))
async def show(checkpoint_id: Id, who: Viewer, services: InServices) -> CheckpointDetails:
    return details(await services.checkpoints.records.get(checkpoint_id))


@router.post(
    "/{checkpoint_id:id}/restore",
    summary="Start a pod from a checkpoint",
    responses=responses(
        ClusterNotFound, NotFound, Conflict, AlreadyExists, ClusterConnectionFailed, RestoreFailed,
        RegistryConnectionFailed,
    ),
)  # fmt: skip
async def restore(
    checkpoint_id: Id,
    who: Operator,
    services: InServices,
    body: Annotated[Restore | None, Body()] = None,
    *,
    wait: Wait = True,
) -> Restored | JobStarted:
    """The pod is the source pod as it was recorded; `restored` says by proof whether it goes on where that one was."""
    asked = body or Restore()
    others = [each for each in asked.checkpoint_ids or [] if each != checkpoint_id]
    job = await services.checkpoints.restore(
        who,
        RestoreRequest(
            checkpoint_ids=[checkpoint_id, *others],
            pod_name=asked.pod_name,
            namespace=asked.namespace,
            cluster=asked.cluster_name,
            node=asked.node_name,
            timeout_s=asked.timeout_s,
            keep_failed=asked.keep_failed,
            engine=asked.engine,
        ),
    )
    if not wait:
        return started(job, f"Pod {job.pod_name} is being restored")
    job = await services.checkpoints.ended(job)
    result = job.result or {}
    word = "was restored" if result.get("restored") else "runs, but nothing proves that it was restored"
    return Restored.model_validate(
        result | {"message": f"Pod {job.pod_name} {word}", "job_id": job.id, "checkpoint_id": job.checkpoint_id}
    )


@router.post(
    "/{checkpoint_id:id}/cancel",
    summary="Stop the job that works on a checkpoint, and undo what it made",
    responses=responses(NotFound, Conflict),
)
async def cancel(checkpoint_id: Id, who: Operator, services: InServices, *, wait: Wait = True) -> JobItem:
    job = await services.checkpoints.cancel_checkpoint(who, checkpoint_id)
    return job_item(await services.checkpoints.engine.wait(job.id) if wait else job)


@router.delete(
    "/{checkpoint_id:id}",
    summary="Delete a checkpoint: its image, its archive, its record",
    responses=responses(NotFound, Conflict, *_PUSHING),
)
async def delete(checkpoint_id: Id, who: Operator, services: InServices, *, wait: Wait = True) -> Deleted | JobStarted:
    """Blobs that another checkpoint needs stay. Asked for again it answers as the first time."""
    job = await services.checkpoints.delete(who, checkpoint_id)
    if job is None:
        return Deleted(message="The checkpoint was deleted before", job_id=None, checkpoint_id=checkpoint_id)
    if not wait:
        return started(job, "The checkpoint is being deleted")
    await services.checkpoints.ended(job)
    return Deleted(message="The checkpoint was deleted", job_id=job.id, checkpoint_id=checkpoint_id)
