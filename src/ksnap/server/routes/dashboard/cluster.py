"""Nodes and namespaces."""

from fastapi import APIRouter, Request, Response

from ksnap.dashboard.details import sub_list_owner
from ksnap.dashboard.kinds.cluster.namespaces import NAMESPACES
from ksnap.dashboard.kinds.cluster.nodes import NODES, events_about, pods_on
from ksnap.dashboard.kinds.cluster.reading import read_namespace, read_node
from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace
from ksnap.server.routes.dashboard.lists import SELECTION, list_answer, list_routes, wants_fresh
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.services import InServices

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, NAMESPACES)
list_routes(router, NODES)


@router.get("/namespace/{name}", summary="One namespace, with its quotas and limits")
async def namespace(at: AsCaller, name: Namespace) -> Response:
    return json_answer(await read_namespace(at, name))


@router.get("/namespace/{name}/event", summary="All events of a namespace", openapi_extra=SELECTION)
async def namespace_events(request: Request, at: AsCaller, name: Namespace) -> Response:
    return await list_answer(request, at, EVENTS, namespaces=name)


@router.get("/node/{name}", summary="One node, with its pods and events")
async def node(request: Request, services: InServices, at: AsCaller, name: Name) -> Response:
    query = request.query_params.multi_items()
    return json_answer(await read_node(services.lists, at, name, query=query, fresh=wants_fresh(request)))


@router.get("/node/{name}/pod", summary="The pods on a node", openapi_extra=SELECTION)
async def node_pods(request: Request, at: AsCaller, name: Name) -> Response:
    _, errors = await sub_list_owner(at, NODES.resource, name)
    return await list_answer(request, at, PODS, only=lambda view, _: pods_on(view, name), errors=errors)


@router.get("/node/{name}/event", summary="The events about a node", openapi_extra=SELECTION)
async def node_events(request: Request, at: AsCaller, name: Name) -> Response:
    found, _ = await sub_list_owner(at, NODES.resource, name)
    uid = str((found or {}).get("metadata", {}).get("uid", ""))
    return await list_answer(request, at, EVENTS, only=lambda view, _: events_about(view, name, uid))
