"""`/checkpoint/{id}/nodes` and `/checkpoint/{id}/failures`, both ours: a checkpoint's image on the nodes."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query

from ksnap.checkpoints.node_images import NodeImage
from ksnap.errors import ClusterConnectionFailed, ClusterNotFound, Conflict, NotFound
from ksnap.node.protocol import ImageStatus
from ksnap.server.access import Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Reply
from ksnap.server.routes.snap.names import ClusterName, Id
from ksnap.server.services import InServices

router = APIRouter(prefix="/checkpoint", tags=["checkpoints"], route_class=RightFirst)
_ERRORS = responses(ClusterNotFound, NotFound, Conflict, ClusterConnectionFailed)
AtCluster = Annotated[ClusterName | None, Query(description="Another cluster than the checkpoint's own")]


class ImageOnNode(Reply):
    node_name: str
    status: ImageStatus | None
    """None where the node's agent did not answer; `problem` says why."""
    size_bytes: int
    """Unpacked."""
    failures: int
    """Restores of it that failed in a row here. Past the node's limit it is started cold."""
    problem: str


class ImageOnNodes(Reply):
    checkpoint_id: str
    nodes: list[ImageOnNode]


@router.get("/{checkpoint_id:id}/nodes", summary="Where a checkpoint's image lies unpacked", responses=_ERRORS)
async def nodes(checkpoint_id: Id, who: Viewer, services: InServices, cluster_name: AtCluster = None) -> ImageOnNodes:
    return _reply(checkpoint_id, await services.node_images.of(checkpoint_id, cluster_name))


@router.delete(
    "/{checkpoint_id:id}/failures", summary="Let nodes restore a checkpoint again that failed there", responses=_ERRORS
)
async def let_try_again(
    checkpoint_id: Id, who: Operator, services: InServices, cluster_name: AtCluster = None
) -> ImageOnNodes:
    """On every node that answers. A new checkpoint needs none of this: nothing has failed of its image."""
    return _reply(checkpoint_id, await services.node_images.let_try_again(who, checkpoint_id, cluster_name))


def _reply(checkpoint_id: str, found: Iterable[NodeImage]) -> ImageOnNodes:
    return ImageOnNodes(checkpoint_id=checkpoint_id, nodes=[_on_node(each) for each in found])


def _on_node(image: NodeImage) -> ImageOnNode:
    state = image.state
    return ImageOnNode(
        node_name=image.node,
        status=state.status if state is not None else None,
        size_bytes=state.size_bytes if state is not None else 0,
        failures=state.failures if state is not None else 0,
        problem=image.problem or (state.error.message if state is not None and state.error is not None else ""),
    )
