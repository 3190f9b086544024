"""Config maps' contents and secrets. The list of config maps is in `lists`."""

from fastapi import APIRouter, Response

from ksnap.dashboard.details import read
from ksnap.dashboard.kinds.config.contents import config_map_detail
from ksnap.dashboard.kinds.config.secrets import SECRETS, secret_detail
from ksnap.dashboard.kinds.configmaps import CONFIG_MAPS
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace, detail_route
from ksnap.server.routes.dashboard.lists import list_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, SECRETS)
detail_route(router, CONFIG_MAPS, config_map_detail)


@router.get("/secret/{namespace}/{name}", summary="One secret, with its data")
async def secret(at: AsCaller, namespace: Namespace, name: Name) -> Response:
    """No cache on the way may keep it."""
    answer = json_answer(secret_detail(await read(at, SECRETS.resource, name, namespace)))
    answer.headers["Cache-Control"] = "no-store"
    return answer
