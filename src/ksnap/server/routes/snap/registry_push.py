"""`POST /registry/create_and_push_checkpoint_container`: an image from a stored checkpoint (contract, section 3.3)."""

from typing import Literal

from fastapi import APIRouter

from ksnap.checkpoints.destination import WantedImage
from ksnap.errors import Conflict, ImagePushFailed, InsufficientStorage, NotFound, RegistryConnectionFailed
from ksnap.server.access import Operator, RightFirst
from ksnap.server.documented import responses
from ksnap.server.messages import Line, Reply, Request
from ksnap.server.routes.snap.job_messages import JobStarted, Wait, started
from ksnap.server.routes.snap.names import CheckpointName, PodName, RegistryName
from ksnap.server.services import InServices

router = APIRouter(prefix="/registry", tags=["registries"], route_class=RightFirst)


class Push(Request):
    pod_name: PodName
    checkpoint_name: CheckpointName
    """File name, with or without `.tar`, or id; any other text pushes the pod's newest checkpoint under that name."""
    checkpoint_config_name: RegistryName
    """A registry configuration; `default`: the cluster's, else the only one there is."""
    username: Line = ""
    """Recorded with the checkpoint as the image's owner label; without any authority."""


class Pushed(Reply):
    success: Literal[True] = True
    message: str
    image_tag: str
    checkpoint_id: str
    digest: str
    job_id: str


@router.post(
    "/create_and_push_checkpoint_container",
    summary="Push a stored checkpoint as an image",
    responses=responses(NotFound, Conflict, RegistryConnectionFailed, ImagePushFailed, InsufficientStorage),
)
async def create_and_push(body: Push, who: Operator, services: InServices, *, wait: Wait = True) -> Pushed | JobStarted:
    """Asked for again, the same checkpoint and target give the same digest."""
    checkpoint, unknown = await services.checkpoints.find(body.pod_name, body.checkpoint_name)
    job = await services.checkpoints.publish(
        who,
        checkpoint,
        WantedImage(registry=body.checkpoint_config_name),
        image_name=body.checkpoint_name if unknown else None,
        owner=body.username,
    )
    if not wait:
        return started(job, f"Checkpoint {checkpoint.id} is being pushed")
    result = (await services.checkpoints.ended(job)).result or {}
    return Pushed(
        message=f"Checkpoint {checkpoint.id} was pushed as {result['image']}",
        image_tag=result["image"],
        checkpoint_id=checkpoint.id,
        digest=result["digest"],
        job_id=job.id,
    )
