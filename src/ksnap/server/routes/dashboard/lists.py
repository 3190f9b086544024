"""Every list's routes, made of its kind: `/pod`, `/pod/{namespace}` (contract dashboard-api, sections 7, 8 and 14)."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import with_errors
from ksnap.dashboard.kinds.configmaps import CONFIG_MAPS
from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.lists import Answer
from ksnap.dashboard.selection.query import PARAMETERS
from ksnap.dashboard.selection.views import Around, View
from ksnap.dashboard.statuses import ErrStatus
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.services import services_of

R = TypeVar("R", bound=Record)
_DESCRIPTIONS = {
    "filterBy": "`property,value` pairs that all must match; may be repeated",
    "sortBy": "pairs of `a` or `d` (up, down) and a property; later ones break ties",
    "itemsPerPage": "with `page`: how many at once",
    "page": "counted from 1",
    "metricNames": "of the cumulative metrics",
    "aggregations": "sum, max, min",
}
SELECTION: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": _DESCRIPTIONS[name]}
        for name in PARAMETERS
    ]
}
"""For `openapi_extra` of every route that answers a list."""

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
LISTED: dict[str, Kind[Any]] = {}
"""Every kind with such routes, by the first segment of their paths."""


def list_routes(router: APIRouter, kind: Kind[R]) -> None:
    """The routes of a kind's list: of all, and of some namespaces."""
    path, plural = f"/{kind.type_name}", kind.resource.plural
    LISTED[kind.type_name] = kind

    async def of_all(request: Request, at: AsCaller) -> Response:
        return await list_answer(request, at, kind)

    async def of_some(
        request: Request, at: AsCaller, namespace: Annotated[str, Path(description="One, or some between commas")]
    ) -> Response:
        return await list_answer(request, at, kind, namespaces=namespace)

    router.add_api_route(path, of_all, methods=["GET"], summary=f"List {plural}", openapi_extra=SELECTION)
    if kind.resource.namespaced:
        summary = f"List {plural} of some namespaces"
        router.add_api_route(path + "/{namespace}", of_some, methods=["GET"], summary=summary, openapi_extra=SELECTION)


async def list_answer(
    request: Request,
    at: ClusterAsCaller,
    kind: Kind[R],
    *,
    namespaces: str = "",
    only: Callable[[View[R], Around], Collection[R]] | None = None,
    also: Sequence[Resource[Any]] = (),
    errors: Sequence[ErrStatus] = (),
) -> Response:
    """A list, or with `only` a list that belongs to an object, as the request selects from it. `errors` are what was
    met on the way to it, beside its own."""
    answer = await services_of(request).lists.answer(
        kind,
        at,
        namespaces=namespaces,
        query=request.query_params.multi_items(),
        fresh=wants_fresh(request),
        only=only,
        also=also,
    )
    return as_response(with_errors(answer, list(errors)))


def wants_fresh(request: Request) -> bool:
    """Whether the list shall hold all that happened until now, if it takes a moment longer."""
    return "no-cache" in request.headers.get("cache-control", "")


def as_response(answer: Answer) -> Response:
    """A list with the warnings about it."""
    response = json_answer(answer.body)
    for text in _warnings(answer):
        response.headers.append("Warning", text)
    return response


def _warnings(answer: Answer) -> list[str]:
    """RFC 7234's header: 110 for data that is out of step, 299 for what was ignored."""
    found = [f'299 ksnap "{_quotable(text)}"' for text in answer.warnings]
    if answer.age_s > 0:
        found.append(f'110 ksnap "The cluster has not been reached for {answer.age_s:.0f} s; this is how it was"')
    return found


def _quotable(text: str) -> str:
    """What a quoted string in a header may hold."""
    return "".join(each if 32 <= ord(each) < 127 and each not in '"\\' else "'" for each in text)


list_routes(router, PODS)
list_routes(router, EVENTS)
list_routes(router, CONFIG_MAPS)
