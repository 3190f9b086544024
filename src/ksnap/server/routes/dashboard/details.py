"""The routes that many kinds have: one object, and the events about it (contract dashboard-api, section 14)."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import events_by_name, read
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.lists import SELECTION, as_response, wants_fresh
from ksnap.server.services import services_of

# Longer ones are no names in Kubernetes; what else a name may be, the API server says.
Name = Annotated[str, Path(max_length=253)]
Namespace = Annotated[str, Path(max_length=63, description="One namespace")]


def detail_route(router: APIRouter, kind: Kind[Any], render: Callable[[dict[str, Any]], Row]) -> None:
    """One object as the API server has it for the caller, rendered."""
    resource = kind.resource

    async def in_namespace(at: AsCaller, namespace: Namespace, name: Name) -> Response:
        return json_answer(render(await read(at, resource, name, namespace)))

    async def in_cluster(at: AsCaller, name: Name) -> Response:
        return json_answer(render(await read(at, resource, name)))

    path = f"/{kind.type_name}" + ("/{namespace}/{name}" if resource.namespaced else "/{name}")
    endpoint = in_namespace if resource.namespaced else in_cluster
    router.add_api_route(path, endpoint, methods=["GET"], summary=f"One of the {resource.plural}")


def event_route(router: APIRouter, kind: Kind[Any]) -> None:
    """The events about one object of a namespace."""

    async def events(request: Request, at: AsCaller, namespace: Namespace, name: Name) -> Response:
        return await event_answer(request, at, kind, name, namespace)

    path = f"/{kind.type_name}/{{namespace}}/{{name}}/event"
    summary = f"Events about one of the {kind.resource.plural}"
    router.add_api_route(path, events, methods=["GET"], summary=summary, openapi_extra=SELECTION)


async def event_answer(
    request: Request, at: ClusterAsCaller, kind: Kind[Any], name: str, namespace: str = ""
) -> Response:
    answer = await events_by_name(
        services_of(request).lists,
        at,
        kind.resource,
        name,
        namespace,
        query=request.query_params.multi_items(),
        fresh=wants_fresh(request),
    )
    return as_response(answer)
