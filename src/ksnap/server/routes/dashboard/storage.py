"""Persistent volumes, the claims to them, and storage classes."""

from fastapi import APIRouter, Request, Response

from ksnap.dashboard.details import read, sub_list_owner
from ksnap.dashboard.kinds.storage.claims import CLAIMS, claim_detail
from ksnap.dashboard.kinds.storage.volumes import (
    STORAGE_CLASSES,
    VOLUMES,
    of_class,
    storage_class_detail,
    volume_detail,
)
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, detail_route
from ksnap.server.routes.dashboard.lists import SELECTION, list_answer, list_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, CLAIMS)
list_routes(router, VOLUMES)
list_routes(router, STORAGE_CLASSES)
detail_route(router, CLAIMS, claim_detail)
detail_route(router, VOLUMES, volume_detail)
detail_route(router, STORAGE_CLASSES, storage_class_detail)


@router.get("/persistentvolume/namespace/{namespace}/name/{name}", summary="One volume; the namespace is not used")
async def volume(at: AsCaller, namespace: str, name: Name) -> Response:
    del namespace  # volumes have none; some links of the page are made so
    return json_answer(volume_detail(await read(at, VOLUMES.resource, name)))


@router.get("/storageclass/{name}/persistentvolume", summary="The volumes of a class", openapi_extra=SELECTION)
async def volumes(request: Request, at: AsCaller, name: Name) -> Response:
    _, errors = await sub_list_owner(at, STORAGE_CLASSES.resource, name)
    return await list_answer(request, at, VOLUMES, only=lambda view, _: of_class(view, name), errors=errors)
