"""`/_raw`: one object of any kind, as Kubernetes has it (contract, sections 14 and 16)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response

from ksnap.dashboard.writes import raw
from ksnap.dashboard.writes.raw import Propagation
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.targets import Target
from ksnap.server.routes.dashboard.trail import InTrail

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
IN_NAMESPACE, OF_CLUSTER = "/_raw/{kind}/namespace/{namespace}/name/{name}", "/_raw/{kind}/name/{name}"


@router.get(IN_NAMESPACE, summary="One object, whole")
@router.get(OF_CLUSTER, summary="One object of no namespace, whole")
async def read(at: AsCaller, target: Target) -> Response:
    return json_answer(await raw.read(at, target))


@router.put(IN_NAMESPACE, summary="Change an object", status_code=204)
@router.put(OF_CLUSTER, summary="Change an object of no namespace", status_code=204)
async def update(at: AsCaller, target: Target, trail: InTrail, body: Annotated[dict[str, Any], Body()]) -> Response:
    """With `metadata.resourceVersion` in the body it replaces the object, 409 if that was changed since; else it is a
    patch."""
    async with trail.line(at, "object_updated", target.what):
        await raw.update(at, target, body)
    return Response(status_code=204)


@router.delete(IN_NAMESPACE, summary="Delete an object", status_code=204)
@router.delete(OF_CLUSTER, summary="Delete an object of no namespace", status_code=204)
async def delete(
    at: AsCaller,
    target: Target,
    trail: InTrail,
    propagation: Propagation = Propagation.FOREGROUND,
    delete_now: Annotated[Literal["true", "false", ""], Query(alias="deleteNow")] = "",
) -> Response:
    async with trail.line(at, "object_deleted", target.what):
        await raw.delete(at, target, propagation, now=delete_now == "true")
    return Response(status_code=204)
