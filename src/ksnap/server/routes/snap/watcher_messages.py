"""Watchers in requests and replies (contract, sections 3.6 and 3.7)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ksnap.errors import InvalidInput
from ksnap.server.messages import Line, LongLine, ObjectName, Reply, Request, Timestamp
from ksnap.server.routes.snap.names import ClusterName, ContainerName, Namespace
from ksnap.store.tables import Cluster, Watcher, WatcherEvent
from ksnap.watchers.definition import Definition, Options, Scope, Trigger, WarmUp, definition_of

ScopeWord = Literal["cluster", "namespace"]
TriggerWord = Literal["startupProbe", "ready", "annotation", "schedule", "drain"]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=500)]


class AgreedCluster(Request):
    """Must agree with the stored configuration; credentials always come from there."""

    api_server_url: LongLine | None = None
    auth_type: Line | None = None


class WarmUpWish(Request):
    """Requests to the pod before it is frozen."""

    path: Path = "/"
    port: int = Field(default=80, ge=1, le=65535)
    requests: int = Field(default=1, ge=1, le=1000)
    timeout_s: float = Field(default=10.0, gt=0, le=300)
    """For each request."""


class OurOptions(Request):
    """Ours: what the contract's watchers do not have."""

    selector: dict[LabelKey, LabelValue] | None = Field(default=None, max_length=20)
    """Labels that a pod must have beside the one that opts in."""
    containers: list[ContainerName] | None = Field(default=None, max_length=50)
    """Instead of the pod's annotation ksnap.dev/containers, or its first container."""
    settle_s: float | None = Field(default=None, ge=0, le=86400)
    """Seconds that a pod must have been Ready."""
    schedule: Line | None = None
    """A cron expression of five fields, in UTC, for the trigger schedule."""
    warm_up: WarmUpWish | None = None


class StartOperator(Request):
    cluster_name: ClusterName
    cluster_config: AgreedCluster | None = None
    scope: ScopeWord = "cluster"
    namespace: Namespace | Literal[""] | None = None
    auto_delete_pod: bool = True


class StopOperator(Request):
    cluster_name: ClusterName | None = None
    """May be left out if exactly one watcher runs."""


class CreateWatcher(OurOptions):
    name: ObjectName
    cluster_name: ClusterName
    cluster_config: AgreedCluster | None = None
    scope: ScopeWord = "cluster"
    namespace: Namespace | Literal[""] | None = None
    trigger: TriggerWord = "startupProbe"
    auto_delete_pod: bool = True


class UpdateWatcher(OurOptions):
    """Absent fields stay as they are."""

    scope: ScopeWord | None = None
    namespace: Namespace | Literal[""] | None = None
    trigger: TriggerWord | None = None
    auto_delete_pod: bool | None = None


class ShownCluster(Reply):
    api_server_url: str
    auth_type: str


class ShownWarmUp(Reply):
    path: str
    port: int
    requests: int
    timeout_s: float


class WatcherStatus(Reply):
    name: str
    cluster_name: str
    cluster_config: ShownCluster
    scope: ScopeWord
    namespace: str
    trigger: TriggerWord
    status: Literal["running", "stopped", "error"]
    auto_delete_pod: bool
    thread_alive: bool
    """Whether the watch is at work, on whichever server."""
    last_update: Timestamp
    created_at: Timestamp
    last_error: str
    checkpoints_total: int
    selector: dict[str, str]
    containers: list[str]
    settle_s: float
    schedule: str
    warm_up: ShownWarmUp | None


class WatcherList(Reply):
    success: Literal[True] = True
    watchers: list[WatcherStatus]
    message: str


class OperatorState(Reply):
    success: Literal[True] = True
    name: str
    running: bool
    cluster_name: str
    error: str | None


class ActiveWatcher(Reply):
    cluster_name: str
    status: Literal["active", "error"]
    started_at: Timestamp
    name: str


class OperatorStatus(Reply):
    running: bool
    active_watchers: list[ActiveWatcher]


class WatcherState(Reply):
    running: bool
    cluster_name: str
    scope: ScopeWord
    namespace: str
    thread_alive: bool


class WatcherStates(Reply):
    success: Literal[True] = True
    active_watchers: int
    watchers: dict[str, WatcherState]


class WatcherEventItem(Reply):
    id: int
    at: Timestamp
    event: Literal[
        "ignored", "waiting", "freezing", "frozen", "exists", "failed", "given_up", "pod_kept", "pod_deleted"
    ]
    namespace: str
    pod_name: str
    pod_uid: str
    container_name: str
    """Empty: it is about the whole pod."""
    message: str
    job_id: str | None


class WatcherEventList(Reply):
    events: list[WatcherEventItem]


def check_agreement(told: AgreedCluster | None, stored: Cluster) -> None:
    """InvalidInput where a caller's idea of a cluster is another than the stored one."""
    if told is None:
        return
    for field, mine, kept in (
        ("api_server_url", told.api_server_url, stored.api_server_url),
        ("auth_type", told.auth_type, stored.auth_type),
    ):
        if mine is not None and mine.rstrip("/") != kept.rstrip("/"):
            raise InvalidInput(
                "The cluster is configured otherwise",
                details=f"cluster_config.{field}: cluster {stored.name} has {kept}",
                hint="Leave cluster_config out, or change the cluster (PUT /config/clusters/update)",
            )


def created(body: CreateWatcher) -> Definition:
    return Definition(
        name=body.name,
        cluster=body.cluster_name,
        scope=Scope(body.scope),
        namespace=body.namespace or "",
        trigger=Trigger(body.trigger),
        auto_delete_pod=body.auto_delete_pod,
        options=_options(body, Options({})),
    )


def updated(body: UpdateWatcher, row: Watcher) -> Definition:
    before = definition_of(row)
    return Definition(
        name=before.name,
        cluster=before.cluster,
        scope=Scope(body.scope) if body.scope is not None else before.scope,
        namespace=body.namespace if body.namespace is not None else before.namespace,
        trigger=Trigger(body.trigger) if body.trigger is not None else before.trigger,
        auto_delete_pod=before.auto_delete_pod if body.auto_delete_pod is None else body.auto_delete_pod,
        options=_options(body, before.options),
    )


def _options(body: OurOptions, before: Options) -> Options:
    warm_up = before.warm_up
    if body.warm_up is not None:
        warm_up = WarmUp(body.warm_up.path, body.warm_up.port, body.warm_up.requests, body.warm_up.timeout_s)
    return Options(
        selector=before.selector if body.selector is None else body.selector,
        containers=before.containers if body.containers is None else tuple(body.containers),
        settle_s=before.settle_s if body.settle_s is None else body.settle_s,
        schedule=before.schedule if body.schedule is None else body.schedule,
        warm_up=warm_up,
    )


def shown(row: Watcher, cluster: Cluster | None, *, alive: bool) -> WatcherStatus:
    """`cluster`: None if it was deleted."""
    told = definition_of(row)
    warm_up = told.options.warm_up
    return WatcherStatus(
        name=row.name,
        cluster_name=row.cluster_name,
        cluster_config=ShownCluster(
            api_server_url=cluster.api_server_url if cluster else "", auth_type=cluster.auth_type if cluster else ""
        ),
        scope=told.scope.value,
        namespace=row.namespace,
        trigger=told.trigger.value,
        status="stopped" if not row.wanted else "error" if row.in_trouble else "running",
        auto_delete_pod=row.auto_delete_pod,
        thread_alive=alive,
        last_update=row.last_update,
        created_at=row.created_at,
        last_error=row.last_error,
        checkpoints_total=row.checkpoints_total,
        selector=dict(told.options.selector),
        containers=list(told.options.containers),
        settle_s=told.options.settle_s,
        schedule=told.options.schedule,
        warm_up=ShownWarmUp.model_validate(warm_up, from_attributes=True) if warm_up else None,
    )


def event_item(row: WatcherEvent) -> WatcherEventItem:
    return WatcherEventItem.model_validate(row, from_attributes=True)
