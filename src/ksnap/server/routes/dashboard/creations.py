"""New namespaces, pull secrets, and jobs out of cron jobs (contract, sections 14 and 16)."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import StringConstraints

from ksnap.dashboard.writes import create
from ksnap.dashboard.writes.known_kinds import CRON_JOB
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.shapes import secret_row
from ksnap.server.routes.dashboard.trail import InTrail

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class NewNamespace(Request):
    name: Name


class NewSecret(Request):
    name: Name
    namespace: Name
    data: Annotated[str, StringConstraints(max_length=1 << 20)]
    """A `.dockercfg` or a `.dockerconfigjson` in base64."""


@router.post("/namespace", summary="Create a namespace", status_code=201)
async def create_namespace(at: AsCaller, trail: InTrail, body: NewNamespace) -> Response:
    async with trail.line(at, "namespace_created", f"namespace {body.name}"):
        await create.create_namespace(at, body.name)
    return json_answer({"name": body.name}, 201)


@router.post("/secret", summary="Create a pull secret", status_code=201)
async def create_secret(at: AsCaller, trail: InTrail, body: NewSecret) -> Response:
    async with trail.line(at, "secret_created", f"secret {body.namespace}/{body.name}"):
        made = await create.create_pull_secret(at, body.namespace, body.name, body.data)
    return json_answer(secret_row(made), 201)


@router.put("/cronjob/{namespace}/{name}/trigger", summary="Run a cron job now")
async def trigger(at: AsCaller, namespace: str, name: str, trail: InTrail) -> Response:
    async with trail.line(at, "cronjob_triggered", CRON_JOB.what(namespace, name)):
        await create.trigger(at, namespace, name)
    return Response(status_code=200)
