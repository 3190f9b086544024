"""One pod, and what belongs to it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ksnap.dashboard.details import read
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.kinds.workloads.pod_detail import container_names
from ksnap.dashboard.kinds.workloads.reading_pods import read_pod
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace, event_route
from ksnap.server.routes.dashboard.lists import SELECTION, as_response
from ksnap.server.routes.dashboard.reader import Reads
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
event_route(router, PODS)

ShowSecrets = Annotated[
    bool, Query(alias="showSecrets", description="Show the values of secrets that the pod's variables refer to")
]


@router.get("/pod/{namespace}/{name}", summary="One pod")
async def pod(reads: Reads, namespace: Namespace, name: Name, *, show_secrets: ShowSecrets = False) -> Response:
    return json_answer(
        await read_pod(reads.lists, reads.at, namespace, name, show_secrets=show_secrets, fresh=reads.fresh)
    )


@router.get("/pod/{namespace}/{name}/container", summary="The names of a pod's containers")
async def containers(at: AsCaller, namespace: Namespace, name: Name) -> Response:
    return json_answer({"containers": container_names(await read(at, PODS.resource, name, namespace))})


@router.get(
    "/pod/{namespace}/{name}/persistentvolumeclaim", summary="The claims that a pod mounts", openapi_extra=SELECTION
)
async def claims(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return as_response(await reads.claims(namespace, name))
