"""Nodes: cordoned, opened again, drained (contract, sections 14 and 16). A drain goes on when its client has left."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, Strict

from ksnap.dashboard.writes import nodes
from ksnap.dashboard.writes.drain_plan import DrainOptions, parse_timeout
from ksnap.dashboard.writes.known_kinds import NODE
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request as Body
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.trail import InTrail
from ksnap.server.services import InServices

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)


class DrainBody(Body):
    """All of it may be left out."""

    force: bool = True
    timeout: Annotated[int, Strict()] | Annotated[float, Strict()] | str = "2m"
    """Nanoseconds, or a text such as `2m`; 0 for none."""
    grace_period_seconds: int = Field(default=-1, alias="gracePeriodSeconds", ge=-1, le=2**31 - 1)
    ignore_all_daemon_sets: bool = Field(default=True, alias="ignoreAllDaemonSets")
    delete_empty_dir_data: bool = Field(default=True, alias="deleteEmptyDirData")

    def options(self) -> DrainOptions:
        return DrainOptions(
            force=self.force,
            timeout_s=parse_timeout(self.timeout),
            grace_period_s=self.grace_period_seconds,
            ignore_daemon_sets=self.ignore_all_daemon_sets,
            delete_empty_dir_data=self.delete_empty_dir_data,
        )


@router.put("/node/{name}/cordon", summary="Close a node to new pods")
async def cordon(at: AsCaller, name: str, trail: InTrail) -> Response:
    async with trail.line(at, "node_cordoned", NODE.what("", name)):
        return json_answer(await nodes.cordon(at, name))


@router.put("/node/{name}/uncordon", summary="Open a node to new pods")
async def uncordon(at: AsCaller, name: str, trail: InTrail) -> Response:
    async with trail.line(at, "node_uncordoned", NODE.what("", name)):
        return json_answer(await nodes.uncordon(at, name))


@router.put("/node/{name}/drain", summary="Cordon a node and evict its pods", status_code=202)
async def drain(
    *,
    request: Request,
    at: AsCaller,
    name: str,
    trail: InTrail,
    services: InServices,
    body: DrainBody | None = None,
) -> Response:
    """Answers when it has begun; `Location` says where to ask how far it is."""
    options = (body or DrainBody()).options()
    async with trail.line(at, "node_drain_started", NODE.what("", name)):
        status = await services.drains.start(at, name, options, trail.principal)
    answer = json_answer(status, 202)
    answer.headers["Location"] = f"{request.url.path.rstrip('/')}/{status['id']}"
    return answer


@router.get("/node/{name}/drain", summary="A node's last drains")
async def drains(at: AsCaller, name: str, services: InServices) -> Response:
    await at.reviews.require("get", "nodes", name=name)
    return json_answer({"drains": await services.drains.recent(at.cluster, name)})


@router.get("/node/{name}/drain/{drain_id}", summary="How far a drain is")
async def drain_status(at: AsCaller, name: str, drain_id: str, services: InServices) -> Response:
    await at.reviews.require("get", "nodes", name=name)
    return json_answer(await services.drains.get(at.cluster, name, drain_id))


@router.delete("/node/{name}/drain/{drain_id}", summary="Cancel a drain")
async def cancel_drain(at: AsCaller, name: str, drain_id: str, trail: InTrail, services: InServices) -> Response:
    """What was evicted stays so, and the node cordoned."""
    await at.reviews.require("patch", "nodes", name=name)
    async with trail.line(at, "node_drain_cancelled", f"{NODE.what('', name)}, drain {drain_id[:40]}"):
        return json_answer(await services.drains.cancel(at.cluster, name, drain_id))
