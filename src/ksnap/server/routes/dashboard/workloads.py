"""Deployments, ReplicaSets, ReplicationControllers, DaemonSets and StatefulSets."""

from fastapi import APIRouter, Response

from ksnap.dashboard.kinds.workloads.daemonsets import DAEMON_SETS, daemon_set_detail
from ksnap.dashboard.kinds.workloads.deployments import DEPLOYMENTS, deployment_detail
from ksnap.dashboard.kinds.workloads.replicated import (
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    replication_controller_detail,
    stateful_set_detail,
)
from ksnap.server.answers import json_answer
from ksnap.server.routes.dashboard.details import Name, Namespace, event_route
from ksnap.server.routes.dashboard.lists import SELECTION, as_response, list_routes
from ksnap.server.routes.dashboard.reader import Reads, pod_route, service_route, workload_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

workload_routes(router, DEPLOYMENTS, deployment_detail)
workload_routes(router, REPLICATION_CONTROLLERS, replication_controller_detail)
workload_routes(router, DAEMON_SETS, daemon_set_detail)
workload_routes(router, STATEFUL_SETS, stateful_set_detail)
list_routes(router, REPLICA_SETS)
event_route(router, REPLICA_SETS)
for each in (REPLICA_SETS, REPLICATION_CONTROLLERS, DAEMON_SETS, STATEFUL_SETS):
    pod_route(router, each)
for each in (REPLICA_SETS, REPLICATION_CONTROLLERS, DAEMON_SETS):
    service_route(router, each)


@router.get("/replicaset/{namespace}/{name}", summary="One of the replicasets, with what scales it")
async def replica_set(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return json_answer(await reads.replica_set(namespace, name))


@router.get(
    "/deployment/{namespace}/{name}/oldreplicaset",
    summary="A deployment's former replica sets that have replicas",
    openapi_extra=SELECTION,
)
async def old_replica_sets(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return as_response(await reads.old_replica_sets(namespace, name))


@router.get("/deployment/{namespace}/{name}/newreplicaset", summary="A deployment's current replica set")
async def new_replica_set(reads: Reads, namespace: Namespace, name: Name) -> Response:
    return json_answer(await reads.new_replica_set(namespace, name))
