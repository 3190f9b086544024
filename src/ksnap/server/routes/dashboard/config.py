"""Config maps' contents and secrets. The list of config maps is in `lists`."""

from fastapi import APIRouter

from ksnap.dashboard.kinds.config.contents import config_map_detail
from ksnap.dashboard.kinds.config.secrets import SECRETS, secret_detail
from ksnap.dashboard.kinds.configmaps import CONFIG_MAPS
from ksnap.server.routes.dashboard.details import detail_route
from ksnap.server.routes.dashboard.lists import list_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, SECRETS)
detail_route(router, SECRETS, secret_detail)
detail_route(router, CONFIG_MAPS, config_map_detail)
