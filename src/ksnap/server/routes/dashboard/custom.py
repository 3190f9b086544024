"""Definitions of custom resources, and their objects."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from ksnap.dashboard.kinds.cluster.definitions import DEFINITIONS
from ksnap.dashboard.kinds.custom.exporting import export_objects
from ksnap.dashboard.kinds.custom.reading import list_by_definition, object_events, read_definition, read_object
from ksnap.server.answers import json_answer
from ksnap.server.file_answer import export_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace
from ksnap.server.routes.dashboard.lists import SELECTION, as_response, list_answer, wants_fresh
from ksnap.server.routes.dashboard.route import DashboardRoute, TextRoute
from ksnap.server.services import InServices, services_of

Crd = Annotated[str, Path(max_length=253, description="The definition's name: plural.group")]

object_lists = APIRouter(tags=["dashboard"], route_class=TextRoute)
router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)


@router.get("/crd", summary="List definitions of custom resources", openapi_extra=SELECTION)
async def definitions(request: Request, at: AsCaller) -> Response:
    return await list_answer(request, at, DEFINITIONS)


@router.get("/crd/{crd}", summary="One definition, with its first objects")
async def definition(request: Request, services: InServices, at: AsCaller, crd: Crd) -> Response:
    return json_answer(await read_definition(services.lists, at, crd, fresh=wants_fresh(request)))


@object_lists.get(
    "/crd/{namespace}/{crd}/object", summary="List custom objects of some namespaces", openapi_extra=SELECTION
)
async def objects(
    request: Request,
    at: AsCaller,
    namespace: Annotated[str, Path(description="One, or some between commas; a space means all")],
    crd: Crd,
    export: Annotated[str, Query(description="A file instead of the list: `yaml`, `json` or `tar`")] = "",
) -> Response:
    lists, query = services_of(request).lists, request.query_params.multi_items()
    if export:
        return export_answer(await export_objects(at, crd, namespaces=namespace, query=query, form=export))
    answer = await list_by_definition(lists, at, crd, namespaces=namespace, query=query, fresh=wants_fresh(request))
    return as_response(answer)


@router.get("/crd/{namespace}/{crd}/{name}", summary="One custom object")
async def custom_object(at: AsCaller, namespace: Namespace, crd: Crd, name: Name) -> Response:
    return json_answer(await read_object(at, crd, namespace, name))


@router.get("/crd/{namespace}/{crd}/{name}/event", summary="Events about a custom object", openapi_extra=SELECTION)
async def events(request: Request, at: AsCaller, namespace: Namespace, crd: Crd, name: Name) -> Response:
    lists, query = services_of(request).lists, request.query_params.multi_items()
    answer = await object_events(lists, at, crd, namespace, name, query=query, fresh=wants_fresh(request))
    return as_response(answer)
