"""Services, ingresses and their classes, network policies."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from ksnap.dashboard.details import sub_list_owner
from ksnap.dashboard.kinds.network.ingresses import (
    INGRESS_CLASSES,
    INGRESSES,
    ingress_class_detail,
    ingress_detail,
    of_service,
)
from ksnap.dashboard.kinds.network.policies import NETWORK_POLICIES, network_policy_detail
from ksnap.dashboard.kinds.network.reading import read_service
from ksnap.dashboard.kinds.network.services import SERVICES, selected
from ksnap.dashboard.kinds.pods import PODS
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace, detail_route, event_route
from ksnap.server.routes.dashboard.lists import SELECTION, list_answer, list_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, SERVICES)
list_routes(router, INGRESSES)
list_routes(router, INGRESS_CLASSES)
list_routes(router, NETWORK_POLICIES)
event_route(router, SERVICES)
event_route(router, INGRESSES)
detail_route(router, INGRESSES, ingress_detail)
detail_route(router, INGRESS_CLASSES, ingress_class_detail)
detail_route(router, NETWORK_POLICIES, network_policy_detail)


@router.get("/service/{namespace}/{name}", summary="One service, with its endpoints")
async def service(at: AsCaller, namespace: Namespace, name: Name) -> Response:
    return json_answer(await read_service(at, namespace, name))


@router.get("/service/{namespace}/{name}/pod", summary="The pods that a service sends to", openapi_extra=SELECTION)
async def pods(request: Request, at: AsCaller, namespace: Namespace, name: Name) -> Response:
    found, errors = await sub_list_owner(at, SERVICES.resource, name, namespace)
    selector: Mapping[str, str] | None = ((found or {}).get("spec") or {}).get("selector")
    return await list_answer(
        request, at, PODS, namespaces=namespace, only=lambda pods, _: selected(pods, namespace, selector), errors=errors
    )


@router.get(
    "/service/{namespace}/{name}/ingress", summary="The ingresses that send to a service", openapi_extra=SELECTION
)
async def ingresses(request: Request, at: AsCaller, namespace: Namespace, name: Name) -> Response:
    return await list_answer(
        request, at, INGRESSES, namespaces=namespace, only=lambda view, _: of_service(view, namespace, name)
    )
