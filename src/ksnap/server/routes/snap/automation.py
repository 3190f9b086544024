"""`POST /automation/trigger`: registry check, freeze, build and push in one call (contract, section 3.5)."""

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter

from ksnap.checkpoints.destination import WantedImage
from ksnap.checkpoints.freezing import FreezeRequest
from ksnap.configuration.registries import StoredRegistry
from ksnap.configuration.registry_login import check_login
from ksnap.errors import (
    CheckpointFailed,
    CheckpointTimedOut,
    ClusterConnectionFailed,
    ClusterNotFound,
    Conflict,
    ImagePushFailed,
    InsufficientStorage,
    InvalidInput,
    NotFound,
    RegistryConnectionFailed,
)
from ksnap.model.image import parse_image
from ksnap.server.access import Operator, RightFirst
from ksnap.server.documented import responses
from ksnap.server.messages import Line, LongLine, Reply, Request, Secret
from ksnap.server.routes.snap.names import ClusterName, ContainerName, Namespace, NodeName, PodName
from ksnap.server.services import InServices, Services

router = APIRouter(prefix="/automation", tags=["automation"], route_class=RightFirst)


class Automation(Request):
    pod_name: PodName
    namespace: Namespace
    cluster_name: ClusterName
    node_name: NodeName | None = None
    container_name: ContainerName | None = None
    registry: LongLine
    """A registry configuration's name, or the host of one."""
    username: Line = ""
    password: Secret | None = None
    """An account to test the registry with; it is not kept. The push is the server's, by the stored account."""


class ImageTag(Reply):
    container_id: str
    image_repo: str
    tag: str


class Automated(Reply):
    success: Literal[True] = True
    message: str
    image_tags: list[ImageTag]
    checkpoint_id: str
    image_tag: str
    digest: str
    job_id: str


@router.post(
    "/trigger",
    summary="Check the registry, freeze a container and push it",
    responses=responses(
        ClusterNotFound, NotFound, Conflict, ClusterConnectionFailed, CheckpointFailed, CheckpointTimedOut,
        InsufficientStorage, RegistryConnectionFailed, ImagePushFailed,
    ),
)  # fmt: skip
async def trigger(body: Automation, who: Operator, services: InServices) -> Automated:
    """The image's name is generated. Only what was pushed is reported."""
    registry = await _registry(services, body.registry)
    await check_login(_asked(registry, body), timeout_s=services.settings.registry_timeout_s)
    asked = FreezeRequest(
        cluster=body.cluster_name,
        namespace=body.namespace,
        pod=body.pod_name,
        node=body.node_name,
        container=body.container_name,
        image=WantedImage(registry.name),
    )
    job = await services.checkpoints.ended(await services.checkpoints.freeze(who, asked))
    checkpoint = await services.checkpoints.records.get(job.checkpoint_id or "")
    image = parse_image(checkpoint.image or "")
    return Automated(
        message=f"Container {checkpoint.container_name} of pod {checkpoint.pod_name} was frozen and pushed",
        image_tags=[
            ImageTag(
                container_id=checkpoint.container_id,
                image_repo=f"{image.host}/{image.repository}",
                tag=image.tag or "",
            )
        ],
        checkpoint_id=checkpoint.id,
        image_tag=checkpoint.image or "",
        digest=checkpoint.image_digest or "",
        job_id=job.id,
    )


async def _registry(services: Services, named: str) -> StoredRegistry:
    """By the configuration's name, else by its host."""
    names = [each.name for each in await services.registries.list()]
    if named in names:
        return await services.registries.get(named)
    for each in names:
        found = await services.registries.get(each)
        if found.access.host == named:
            return found
    raise NotFound(
        "Registry not found",
        details=f"registry: no registry configuration has the name or the host {named!r}",
        hint="Create it first (POST /config/registry/create)",
    )


def _asked(registry: StoredRegistry, body: Automation) -> StoredRegistry:
    """The registry with the call's account, where it gives one."""
    if body.password is None:
        if body.username:
            raise InvalidInput("The request is not valid", details="password: a username needs one")
        return registry
    if not body.username:
        raise InvalidInput("The request is not valid", details="username: a password needs one")
    account = {"username": body.username, "password": body.password}
    return replace(registry, access=registry.access.model_copy(update=account))
