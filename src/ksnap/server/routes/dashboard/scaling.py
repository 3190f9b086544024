"""HorizontalPodAutoscalers and PodDisruptionBudgets."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ksnap.dashboard.kinds.workloads.autoscalers import AUTOSCALERS, autoscaler_detail
from ksnap.dashboard.kinds.workloads.budgets import BUDGETS, budget_detail
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.details import Name, Namespace
from ksnap.server.routes.dashboard.lists import SELECTION, as_response, list_routes
from ksnap.server.routes.dashboard.reader import Reads
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, AUTOSCALERS)
list_routes(router, BUDGETS)


@router.get("/horizontalpodautoscaler/{namespace}/{name}", summary="One of the horizontalpodautoscalers")
async def autoscaler(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return json_answer(await reads.detail(AUTOSCALERS, namespace, name, autoscaler_detail))


@router.get("/poddisruptionbudget/{namespace}/{name}", summary="One of the poddisruptionbudgets")
async def budget(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return json_answer(await reads.detail(BUDGETS, namespace, name, budget_detail))


@router.get(
    "/{kind}/{namespace}/{name}/horizontalpodautoscaler",
    summary="The autoscalers of an object",
    openapi_extra=SELECTION,
)
async def autoscalers(
    reads: Reads, kind: Annotated[str, Path(max_length=63)], namespace: Namespace, name: Name
) -> Response:
    return as_response(await reads.autoscalers(kind, namespace, name))
