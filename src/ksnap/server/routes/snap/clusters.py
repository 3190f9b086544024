"""`/config/clusters/*`, and `/config/cluster/*` for upstream's page (contract, section 3.4)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from pydantic import AliasChoices, Field

from ksnap.configuration.clusters import DEFAULT_REPO, DEFAULT_TIMEOUT_S, ClusterChange
from ksnap.configuration.probe import probe
from ksnap.errors import AlreadyExists, ClusterConnectionFailed, ClusterNotFound, Conflict, NotFound
from ksnap.kube.cluster_config import AuthType
from ksnap.server.access import Administrator, Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, Line, Lines, LongLine, ObjectName, Reply, Request, Secret, one_name
from ksnap.server.services import InServices

router = APIRouter(tags=["clusters"], route_class=RightFirst)
_api = APIRouter(route_class=RightFirst)
AuthTypeName = Literal["kubeconfig", "token", "service_account"]
_URL = AliasChoices("api_server_url", "kube_api_url")
_REGISTRY = AliasChoices("registry_name", "registry")
# A kubeconfig with certificates has some kilobytes; base64 makes four of three.
_KUBECONFIG_LIMIT = 512 * 1024


class CreateCluster(Request):
    name: ObjectName
    api_server_url: LongLine = Field(min_length=1, validation_alias=_URL)
    """https://host[:port]; wins over the kubeconfig's own. Alias: kube_api_url."""
    auth_type: AuthTypeName | None = None
    """kubeconfig, unless only a token is given."""
    kubeconfig_content: Secret | None = Field(default=None, max_length=_KUBECONFIG_LIMIT)
    """Base64; the current context's credentials and CA count."""
    token: Secret | None = Field(default=None, max_length=16384)
    registry_name: ObjectName | Literal[""] | None = Field(default=None, validation_alias=_REGISTRY)
    """The registry for this cluster's images. Alias: registry."""
    repo: Line = DEFAULT_REPO
    verify_ssl: bool = True
    ca_cert: Lines = ""
    """PEM of the API server's own certificate authorities."""
    timeout_s: int = Field(default=DEFAULT_TIMEOUT_S, ge=1, le=600)


class UpdateCluster(Request):
    """Absent fields stay as they are; secrets are replaced only by ones that are not empty."""

    name: ObjectName
    api_server_url: LongLine | None = Field(default=None, min_length=1, validation_alias=_URL)
    auth_type: AuthTypeName | None = None
    kubeconfig_content: Secret | None = Field(default=None, max_length=_KUBECONFIG_LIMIT)
    token: Secret | None = Field(default=None, max_length=16384)
    registry_name: ObjectName | Literal[""] | None = Field(default=None, validation_alias=_REGISTRY)
    """Empty: none."""
    repo: Line | None = None
    verify_ssl: bool | None = None
    ca_cert: Lines | None = None
    timeout_s: int | None = Field(default=None, ge=1, le=600)


class NamedCluster(Request):
    name: ObjectName


class DeleteCluster(Request):
    name: ObjectName | None = None
    """Or in the query."""


class ClusterItem(Reply):
    name: str
    api_server_url: str
    auth_type: AuthTypeName
    registry_name: str | None
    repo: str
    verify_ssl: bool
    timeout_s: int


class ClusterList(Reply):
    success: Literal[True] = True
    message: str
    cluster_configs: list[ClusterItem]


class ClusterTested(Reply):
    success: Literal[True] = True
    message: str
    cluster_name: str
    kubernetes_version: str
    missing_rights: list[str]
    """What ksnap's account may not do there though jobs need it."""


@_api.post("/create", summary="Store a cluster", responses=responses(AlreadyExists, NotFound))
async def create(body: CreateCluster, who: Administrator, services: InServices) -> Changed:
    await services.clusters.create(who, _change(body))
    return Changed(message=f"Cluster {body.name} created")


@_api.get("/list", summary="List the clusters", responses=responses())
async def list_clusters(who: Viewer, services: InServices) -> ClusterList:
    items = [ClusterItem.model_validate(each, from_attributes=True) for each in await services.clusters.list()]
    return ClusterList(message=f"{len(items)} clusters", cluster_configs=items)


@_api.put("/update", summary="Change a cluster", responses=responses(ClusterNotFound, NotFound))
async def update(body: UpdateCluster, who: Administrator, services: InServices) -> Changed:
    await services.clusters.update(who, _change(body))
    return Changed(message=f"Cluster {body.name} updated")


@_api.delete("/delete", summary="Forget a cluster", responses=responses(ClusterNotFound, Conflict))
async def delete(
    who: Administrator,
    services: InServices,
    body: Annotated[DeleteCluster | None, Body()] = None,
    name: Annotated[ObjectName | None, Query(description="Instead of the body")] = None,
) -> Changed:
    chosen = one_name("name", body.name if body else None, name)
    await services.clusters.delete(who, chosen)
    services.lists.caches.drop(chosen)
    await services.connections.drop(chosen)
    return Changed(message=f"Cluster {chosen} deleted")


@_api.post(
    "/test",
    summary="Test the connection to a cluster, and ksnap's rights there",
    responses=responses(ClusterNotFound, ClusterConnectionFailed),
)
async def test(body: NamedCluster, who: Operator, services: InServices) -> ClusterTested:
    found = await probe(await services.connections.get(body.name))
    await services.clusters.reached(body.name)
    lacks = f", but lacks {len(found.missing_rights)} rights" if found.missing_rights else ""
    return ClusterTested(
        message=f"Reached cluster {body.name}{lacks}",
        cluster_name=body.name,
        kubernetes_version=found.kubernetes_version,
        missing_rights=list(found.missing_rights),
    )


def _change(body: CreateCluster | UpdateCluster) -> ClusterChange:
    return ClusterChange(
        name=body.name,
        api_server_url=body.api_server_url,
        auth_type=AuthType(body.auth_type) if body.auth_type else None,
        kubeconfig_content=body.kubeconfig_content,
        token=body.token,
        registry_name=body.registry_name,
        repo=body.repo,
        verify_ssl=body.verify_ssl,
        ca_cert=body.ca_cert,
        timeout_s=body.timeout_s,
    )


router.include_router(_api, prefix="/config/clusters")
router.include_router(_api, prefix="/config/cluster", include_in_schema=False)
