"""`/operator/*`: watchers (contract, sections 3.6 and 3.7). `events` is ours."""

from typing import Annotated

from fastapi import APIRouter, Body, Query

from ksnap.errors import (
    AlreadyExists,
    ClusterConnectionFailed,
    ClusterNotFound,
    Conflict,
    InvalidInput,
    KsnapError,
    NotFound,
)
from ksnap.server.access import Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, ObjectName
from ksnap.server.routes.snap.names import ClusterName, Namespace, PodName
from ksnap.server.routes.snap.watcher_messages import (
    ActiveWatcher,
    CreateWatcher,
    OperatorState,
    OperatorStatus,
    StartOperator,
    StopOperator,
    UpdateWatcher,
    WatcherEventList,
    WatcherList,
    WatcherState,
    WatcherStates,
    WatcherStatus,
    check_agreement,
    created,
    event_item,
    shown,
    updated,
)
from ksnap.server.services import InServices, Services
from ksnap.store.tables import Watcher
from ksnap.watchers.definition import Definition, Scope

router = APIRouter(prefix="/operator", tags=["watchers"], route_class=RightFirst)


@router.post(
    "/start",
    summary="Start a cluster's unnamed watcher",
    responses=responses(ClusterNotFound, ClusterConnectionFailed, Conflict),
)
async def start_operator(body: StartOperator, who: Operator, services: InServices) -> OperatorState:
    """A short form of `/operator/snapwatcher`: its name is the cluster's."""
    check_agreement(body.cluster_config, await services.clusters.get(body.cluster_name))
    definition = Definition(
        name=body.cluster_name,
        cluster=body.cluster_name,
        scope=Scope(body.scope),
        namespace=body.namespace or "",
        auto_delete_pod=body.auto_delete_pod,
    )
    row = await services.watchers.start_as(who, definition)
    return OperatorState(name=row.name, running=True, cluster_name=row.cluster_name, error=row.last_error or None)


@router.post("/stop", summary="Stop a cluster's unnamed watcher", responses=responses(ClusterNotFound, NotFound))
async def stop_operator(
    who: Operator, services: InServices, body: Annotated[StopOperator | None, Body()] = None
) -> OperatorState:
    name = body.cluster_name if body is not None else None
    if name is None:
        running = [each.name for each in await services.watchers.all() if each.wanted]
        if len(running) != 1:
            raise InvalidInput(
                "The request is not valid", details=f"cluster_name: Field required while {len(running)} watchers run"
            )
        name = running[0]
    row = await services.watchers.find(name)
    if row is None:
        await services.clusters.get(name)
        return OperatorState(name=name, running=False, cluster_name=name, error=None)
    row = await services.watchers.stop(who, name)
    return OperatorState(name=row.name, running=False, cluster_name=row.cluster_name, error=row.last_error or None)


@router.get("/status", summary="Which watchers are active", responses=responses())
async def operator_status(who: Viewer, services: InServices) -> OperatorStatus:
    active = [
        ActiveWatcher(
            cluster_name=each.cluster_name,
            status="error" if each.in_trouble else "active",
            started_at=each.started_at or each.created_at,
            name=each.name,
        )
        for each in await services.watchers.all()
        if each.wanted
    ]
    return OperatorStatus(running=bool(active), active_watchers=active)


@router.post(
    "/snapwatcher", summary="Create a watcher and start it", responses=responses(AlreadyExists, ClusterNotFound)
)
async def create(body: CreateWatcher, who: Operator, services: InServices) -> WatcherStatus:
    """Where its cluster cannot be watched now it stays, says `error`, and goes on trying."""
    check_agreement(body.cluster_config, await services.clusters.get(body.cluster_name))
    return await _status(services, await services.watchers.create(who, created(body)))


@router.get("/snapwatcher/{name}", summary="Show a watcher", responses=responses(NotFound))
async def show(name: ObjectName, who: Viewer, services: InServices) -> WatcherStatus:
    return await _status(services, await services.watchers.get(name))


@router.get("/snapwatcher/{name}/status", summary="How a watcher fares", responses=responses(NotFound))
async def status(name: ObjectName, who: Viewer, services: InServices) -> WatcherStatus:
    return await _status(services, await services.watchers.get(name))


@router.put("/snapwatcher/{name}", summary="Change a watcher", responses=responses(NotFound))
async def update(name: ObjectName, body: UpdateWatcher, who: Operator, services: InServices) -> WatcherStatus:
    """One that runs begins anew with what it is told now."""
    definition = updated(body, await services.watchers.get(name))
    return await _status(services, await services.watchers.update(who, definition))


@router.post(
    "/snapwatcher/{name}/start", summary="Start a watcher", responses=responses(NotFound, ClusterConnectionFailed)
)
async def start(name: ObjectName, who: Operator, services: InServices) -> WatcherStatus:
    """What it had given up is tried again. The wish is kept over restarts of the server."""
    return await _status(services, await services.watchers.start(who, name))


@router.post("/snapwatcher/{name}/stop", summary="Stop a watcher", responses=responses(NotFound))
async def stop(name: ObjectName, who: Operator, services: InServices) -> WatcherStatus:
    return await _status(services, await services.watchers.stop(who, name))


@router.delete("/snapwatcher/{name}", summary="Stop and remove a watcher", responses=responses(NotFound))
async def delete(name: ObjectName, who: Operator, services: InServices) -> Changed:
    """Its checkpoints and images stay."""
    await services.watchers.delete(who, name)
    return Changed(message=f"Watcher {name} is deleted")


@router.get(
    "/snapwatcher/{name}/events", summary="What a watcher did, and why not, per pod", responses=responses(NotFound)
)
async def events(
    name: ObjectName,
    who: Viewer,
    services: InServices,
    *,
    namespace: Annotated[Namespace | None, Query()] = None,
    pod_name: Annotated[PodName | None, Query()] = None,
    after: Annotated[int, Query(ge=0, le=1 << 62, description="Only those after this id")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> WatcherEventList:
    """Newest first."""
    await services.watchers.get(name)
    found = await services.watchers.events.list(name, namespace=namespace, pod=pod_name, after=after, limit=limit)
    return WatcherEventList(events=[event_item(each) for each in found])


@router.get("/snapwatchers/{cluster_name}", summary="List a cluster's watchers", responses=responses(ClusterNotFound))
async def of_cluster(cluster_name: ClusterName, who: Viewer, services: InServices) -> WatcherList:
    await services.clusters.get(cluster_name)
    rows = [each for each in await services.watchers.all() if each.cluster_name == cluster_name]
    return WatcherList(watchers=[await _status(services, each) for each in rows], message=f"{len(rows)} watchers")


@router.get("/watchers/status", summary="List all watchers", responses=responses())
async def all_watchers(who: Viewer, services: InServices) -> WatcherStates:
    rows = await services.watchers.all()
    return WatcherStates(
        active_watchers=sum(each.wanted for each in rows),
        watchers={each.name: _state(services, each) for each in rows},
    )


def _state(services: Services, row: Watcher) -> WatcherState:
    return WatcherState(
        running=row.wanted,
        cluster_name=row.cluster_name,
        scope=Scope(row.scope).value,
        namespace=row.namespace,
        thread_alive=services.watchers.is_alive(row),
    )


async def _status(services: Services, row: Watcher) -> WatcherStatus:
    try:
        cluster = await services.clusters.get(row.cluster_name)
    except KsnapError:  # it was deleted: the watcher says so itself
        cluster = None
    return shown(row, cluster, alive=services.watchers.is_alive(row))
