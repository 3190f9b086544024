"""`/snaphook*`: hooks, by which new pods start from their workload's checkpoint (contract, sections 3.8 and 7)."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from ksnap.errors import AlreadyExists, ClusterConnectionFailed, ClusterNotFound, Conflict, InvalidInput, NotFound
from ksnap.hooks.records import Hook
from ksnap.server.access import Administrator, Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, LongLine, ObjectName, Reply, Request, Timestamp
from ksnap.server.routes.snap.names import ClusterName, Namespace, PodName
from ksnap.server.services import InServices, Services

router = APIRouter(tags=["snaphook"], route_class=RightFirst)
LONGEST_WAIT_S = 25


class ClusterConfigOfHook(Request):
    """The cluster's own configuration counts; this may only say the same."""

    api_server_url: LongLine | None = None


class CreateHook(Request):
    name: ObjectName
    cluster_name: ClusterName
    cluster_config: ClusterConfigOfHook | None = None
    webhook_url: LongLine | None = None
    """https, without query and fragment, installed as given and known by its path. Else `/mutate/NAME` at the server's
    hook_address."""
    namespace: Namespace = "snap"
    """Of this server's Service: its name goes into the certificate. New pods there are left alone."""
    cert_expiry_days: int = Field(default=365, ge=1, le=3650)
    wait_s: int = Field(default=0, ge=0, le=LONGEST_WAIT_S)
    """Seconds that a new pod waits for a checkpoint that is being made. 0: it starts cold at once."""
    max_age_s: int = Field(default=0, ge=0, le=10**10)
    """Checkpoints that are older are not used. 0: any age."""
    image_pull_secrets: list[PodName] = Field(default=[], max_length=10)
    """Names of secrets in the pods' namespaces, for nodes that restore images themselves."""


class HookStatus(Reply):
    cluster_name: str
    namespace: str
    webhook_url: str
    is_running: bool
    certificate_generated: bool
    certificate_expiry_days: int
    https_server_port: int


class HookItem(Reply):
    name: str
    cluster_name: str
    webhook_url: str
    namespace: str
    is_running: bool
    cert_expiry_days: int
    wait_s: int
    max_age_s: int
    image_pull_secrets: list[str]
    certificate_expires_at: Timestamp | None
    status: HookStatus


class HookList(Reply):
    success: Literal[True] = True
    message: str
    snaphooks: list[HookItem]


class TestResults(Reply):
    is_running: bool
    webhook_url: str
    certificate_generated: bool
    https_server_port: int
    cluster_name: str
    namespace: str
    reached: bool
    """By TLS, verified by the authorities in the cluster's configuration."""
    problem: str
    configuration_differences: list[str]
    """Fields of the cluster's configuration that are not as they should be."""


class HookTested(Reply):
    success: bool
    """Whether it was reached, and a running hook's configuration is in the cluster as it should be."""
    hook_name: str
    test_results: TestResults


@router.post("/snaphook", summary="Store a hook", responses=responses(AlreadyExists, ClusterNotFound, Conflict))
async def create(body: CreateHook, who: Administrator, services: InServices) -> HookItem:
    """It is not started yet."""
    await _same_cluster(services, body)
    hook = Hook(
        body.name,
        body.cluster_name,
        body.webhook_url or "",
        body.namespace,
        cert_expiry_days=body.cert_expiry_days,
        wait_s=body.wait_s,
        max_age_s=body.max_age_s,
        pull_secrets=tuple(body.image_pull_secrets),
    )
    return _item(services, await services.hooks.create(who, hook))


@router.get("/snaphook/list", summary="List the hooks", responses=responses())
async def list_hooks(who: Viewer, services: InServices) -> HookList:
    items = [_item(services, each) for each in await services.hooks.list()]
    return HookList(message=f"{len(items)} hooks", snaphooks=items)


@router.get("/snaphook/{name}", summary="One hook", responses=responses(NotFound))
@router.get("/snaphook/{name}/status", summary="One hook's status", responses=responses(NotFound))
async def one(name: ObjectName, who: Viewer, services: InServices) -> HookItem:
    return _item(services, await services.hooks.get(name))


@router.post(
    "/snaphook/{name}/start",
    summary="Serve a hook, and install its configuration",
    responses=responses(NotFound, Conflict, ClusterConnectionFailed),
)
async def start(name: ObjectName, who: Operator, services: InServices) -> HookItem:
    """Again brings its configuration up to date. It is kept over restarts of the server."""
    return _item(services, await services.hooks.start(who, name))


@router.post(
    "/snaphook/{name}/stop",
    summary="Remove a hook's configuration, and serve it no more",
    responses=responses(NotFound, ClusterConnectionFailed),
)
async def stop(name: ObjectName, who: Operator, services: InServices) -> HookItem:
    """If the cluster is away, it is tried again until it answers."""
    return _item(services, await services.hooks.stop(who, name))


@router.delete("/snaphook/{name}", summary="Stop and forget a hook", responses=responses(NotFound))
async def delete(name: ObjectName, who: Administrator, services: InServices) -> Changed:
    left = await services.hooks.delete(who, name)
    return Changed(message=f"Hook {name} is deleted" + (f"; {left}" if left else ""))


@router.get(
    "/snaphook/{name}/test-connectivity",
    summary="Call a hook as an API server would",
    responses=responses(NotFound, ClusterConnectionFailed),
)
async def test(name: ObjectName, who: Viewer, services: InServices) -> HookTested:
    """From here: the way from the cluster may be another."""
    hook = await services.hooks.get(name)
    found = await services.hooks.test(name)
    results = TestResults(
        is_running=hook.is_running,
        webhook_url=hook.url,
        certificate_generated=bool(hook.certificate_version),
        https_server_port=services.hooks.settings.port,
        cluster_name=hook.cluster,
        namespace=hook.namespace,
        reached=found.reached,
        problem=found.problem,
        configuration_differences=found.differences,
    )
    return HookTested(success=found.reached and not found.differences, hook_name=name, test_results=results)


@router.post(
    "/snaphook/{name}/renew-certificates",
    summary="Give a hook a new certificate now",
    responses=responses(NotFound, ClusterConnectionFailed),
)
async def renew(name: ObjectName, who: Administrator, services: InServices) -> HookItem:
    return _item(services, await services.hooks.renew(who, name))


async def _same_cluster(services: Services, body: CreateHook) -> None:
    """A hook of a cluster that is configured otherwise would be installed where nobody expects it."""
    told = body.cluster_config.api_server_url if body.cluster_config else None
    if told is None:
        return
    configured = (await services.clusters.get(body.cluster_name)).api_server_url
    if told.rstrip("/") != configured:
        raise InvalidInput(
            "The request is not valid",
            details="cluster_config.api_server_url: the cluster is configured with another",
            hint="Leave it out, or correct the cluster with PUT /config/clusters/update",
        )


def _item(services: Services, hook: Hook) -> HookItem:
    status = HookStatus(
        cluster_name=hook.cluster,
        namespace=hook.namespace,
        webhook_url=hook.url,
        is_running=hook.is_served,
        certificate_generated=bool(hook.certificate_version),
        certificate_expiry_days=hook.cert_expiry_days,
        https_server_port=services.hooks.settings.port,
    )
    return HookItem(
        name=hook.name,
        cluster_name=hook.cluster,
        webhook_url=hook.url,
        namespace=hook.namespace,
        is_running=hook.is_served,
        cert_expiry_days=hook.cert_expiry_days,
        wait_s=hook.wait_s,
        max_age_s=hook.max_age_s,
        image_pull_secrets=list(hook.pull_secrets),
        certificate_expires_at=hook.expires_at,
        status=status,
    )
