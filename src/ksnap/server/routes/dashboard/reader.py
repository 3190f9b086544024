"""What reads workloads for a request: the dependency `Reads`, and the routes that several of their kinds have."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.workloads.reading import Reader
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace, event_route
from ksnap.server.routes.dashboard.lists import SELECTION, as_response, list_routes, wants_fresh
from ksnap.server.services import services_of


async def reader(request: Request, at: AsCaller) -> Reader:
    return Reader(services_of(request).lists, at, request.query_params.multi_items(), fresh=wants_fresh(request))


Reads = Annotated[Reader, Depends(reader)]


def workload_routes(router: APIRouter, kind: Kind[Any], more: Callable[[Json], Row]) -> None:
    """A kind's list, its detail with who owns it, and the events about one."""
    list_routes(router, kind)
    event_route(router, kind)

    async def detail(reads: Reads, namespace: Namespace, name: Name) -> Response:
        return json_answer(await reads.detail(kind, namespace, name, more))

    summary = f"One of the {kind.resource.plural}"
    router.add_api_route(_path(kind), detail, methods=["GET"], summary=summary)


def pod_route(router: APIRouter, kind: Kind[Any]) -> None:
    """The pods that one of them controls."""

    async def pods(reads: Reads, namespace: Namespace, name: Name) -> Response:
        return as_response(await reads.pods(kind, namespace, name))

    summary = f"The pods of one of the {kind.resource.plural}"
    router.add_api_route(f"{_path(kind)}/pod", pods, methods=["GET"], summary=summary, openapi_extra=SELECTION)


def service_route(router: APIRouter, kind: Kind[Any]) -> None:
    """The services that send to the pods of one of them."""

    async def services(reads: Reads, namespace: Namespace, name: Name) -> Response:
        return as_response(await reads.services(kind, namespace, name))

    summary = f"The services of one of the {kind.resource.plural}"
    router.add_api_route(f"{_path(kind)}/service", services, methods=["GET"], summary=summary, openapi_extra=SELECTION)


def _path(kind: Kind[Any]) -> str:
    return f"/{kind.type_name}/{{namespace}}/{{name}}"
