"""Service accounts, roles and their bindings."""

from fastapi import APIRouter, Request, Response

from ksnap.dashboard.details import sub_list_owner
from ksnap.dashboard.kinds.access.accounts import ACCOUNTS, account_detail, pull_secret_names, secret_names
from ksnap.dashboard.kinds.access.roles import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    cluster_role_binding_detail,
    cluster_role_detail,
    role_binding_detail,
    role_detail,
)
from ksnap.dashboard.kinds.config.secrets import SECRETS, named_secrets, tokens_of
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.details import Name, Namespace, detail_route
from ksnap.server.routes.dashboard.lists import SELECTION, list_answer, list_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

list_routes(router, ACCOUNTS)
detail_route(router, ACCOUNTS, account_detail)
for kind, render in (
    (ROLES, role_detail),
    (ROLE_BINDINGS, role_binding_detail),
    (CLUSTER_ROLES, cluster_role_detail),
    (CLUSTER_ROLE_BINDINGS, cluster_role_binding_detail),
):
    list_routes(router, kind)
    detail_route(router, kind, render)


@router.get("/serviceaccount/{namespace}/{name}/secret", summary="An account's secrets", openapi_extra=SELECTION)
async def secrets(request: Request, at: AsCaller, namespace: Namespace, name: Name) -> Response:
    found, errors = await sub_list_owner(at, ACCOUNTS.resource, name, namespace)
    named = secret_names(found or {})
    return await list_answer(
        request,
        at,
        SECRETS,
        namespaces=namespace,
        only=lambda view, _: tokens_of(view, namespace, name, named),
        errors=errors,
    )


@router.get(
    "/serviceaccount/{namespace}/{name}/imagepullsecret",
    summary="The secrets that an account's pods pull images with",
    openapi_extra=SELECTION,
)
async def pull_secrets(request: Request, at: AsCaller, namespace: Namespace, name: Name) -> Response:
    found, errors = await sub_list_owner(at, ACCOUNTS.resource, name, namespace)
    named = pull_secret_names(found or {})
    return await list_answer(
        request,
        at,
        SECRETS,
        namespaces=namespace,
        only=lambda view, _: named_secrets(view, namespace, named),
        errors=errors,
    )
