"""`/scale` and the older `update/pod`: how many replicas (contract, sections 14 and 16)."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ksnap.dashboard.writes import scale
from ksnap.dashboard.writes.raw import named
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.targets import Target
from ksnap.server.routes.dashboard.trail import InTrail

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
IN_NAMESPACE, OF_CLUSTER = "/scale/{kind}/{namespace}/{name}", "/scale/{kind}/{name}"
REPLICATION_CONTROLLER = "/replicationcontroller/{namespace}/{replication_controller}/update/pod"


class Replicas(Request):
    replicas: int


@router.get(IN_NAMESPACE, summary="How many replicas")
@router.get(OF_CLUSTER, summary="How many replicas, of no namespace")
async def counts(at: AsCaller, target: Target) -> Response:
    return json_answer(await scale.counts(at, target))


@router.put(IN_NAMESPACE, summary="Set how many replicas")
@router.put(OF_CLUSTER, summary="Set how many replicas, of no namespace")
async def set_replicas(
    at: AsCaller, target: Target, trail: InTrail, scale_by: Annotated[int, Query(alias="scaleBy")]
) -> Response:
    """`scaleBy` is the new count, not a difference."""
    async with trail.line(at, "object_scaled", f"{target.what} to {scale_by}"):
        return json_answer(await scale.set_replicas(at, target, scale_by))


@router.post(REPLICATION_CONTROLLER, summary="Set how many pods", status_code=202)
async def set_pods(
    at: AsCaller, namespace: str, replication_controller: str, trail: InTrail, body: Replicas
) -> Response:
    target = await named(at, "replicationcontroller", namespace, replication_controller)
    async with trail.line(at, "object_scaled", f"{target.what} to {body.replicas}"):
        await scale.set_replicas(at, target, body.replicas)
    return Response(status_code=202)
