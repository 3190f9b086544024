"""Whether the integrations work (contract dashboard-api, section 13)."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from ksnap.dashboard.who import check_token
from ksnap.identity.principal import Principal
from ksnap.kube.caller import Caller
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.services import InServices

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
# Only for the way to the cluster: nothing is asked in this one's name.
_NOBODY = Caller()


@router.get("/integration/{name}/state", summary="Whether an integration works; no token is needed")
async def state(request: Request, services: InServices, name: Annotated[str, Path(max_length=253)]) -> Response:
    """What exactly is wrong is told to logins alone."""
    at = await services.dashboard.at(request.path_params.get("cluster", ""), _NOBODY)
    known = isinstance(request.scope["state"].get("principal"), Principal)
    return json_answer(await services.integrations.state(at.own, name, in_full=known))


@router.get("/integration", summary="All integrations and whether they work")
async def list_all(at: AsCaller, services: InServices) -> Response:
    await check_token(at)
    return json_answer({"integrations": await services.integrations.all(at.own)})
