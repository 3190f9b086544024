"""What of a workload is read: the object and its owners at the API server, its pods and events out of the caches."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ksnap.dashboard.beside import list_beside
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import FIRST_TEN, all_errors, read, sub_list_owner, with_errors
from ksnap.dashboard.kinds.common import Json, row_of, section, selects_labels
from ksnap.dashboard.kinds.network.services import SERVICES, Service
from ksnap.dashboard.kinds.pods import PODS, Pod
from ksnap.dashboard.kinds.storage.claims import CLAIMS
from ksnap.dashboard.kinds.workloads.autoscalers import AUTOSCALERS, scaling
from ksnap.dashboard.kinds.workloads.cronjobs import CRON_JOBS, jobs_of
from ksnap.dashboard.kinds.workloads.deployments import DEPLOYMENTS, NO_REPLICA_SET, new_replica_set, old_replica_sets
from ksnap.dashboard.kinds.workloads.jobs import JOBS
from ksnap.dashboard.kinds.workloads.owners import owner_chain
from ksnap.dashboard.kinds.workloads.pod_detail import claims_of
from ksnap.dashboard.kinds.workloads.pod_info import pods_of
from ksnap.dashboard.kinds.workloads.replicated import REPLICA_SETS, replica_set_detail
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.lists import Answer, Lists
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import BY_NAMESPACE, Around, View
from ksnap.dashboard.statuses import ErrStatus
from ksnap.dashboard.together import together

Query = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one request. `fresh`: with all that has happened until now, the caches too."""

    lists: Lists
    at: ClusterAsCaller
    query: Query = ()
    fresh: bool = False

    async def detail(self, kind: Kind[Any], namespace: str, name: str, more: Callable[[Json], Row]) -> Row:
        """The list's row, what `more` makes of the object, and who owns it."""
        found = await read(self.at, kind.resource, name, namespace)
        errors: list[ErrStatus] = []
        async with together() as group:
            chain = group.create_task(owner_chain(self.at, found, errors))
            around = group.create_task(self.lists.around(self.at, kind.beside, namespaces=namespace, fresh=self.fresh))
        return {
            **row_of(kind, found, around.result()),
            **more(found),
            "ownerChain": [each.row for each in chain.result()],
            "errors": all_errors(around.result().errors, errors),
        }

    async def replica_set(self, namespace: str, name: str) -> Row:
        """ReplicaSetDetail."""
        detail = await self.detail(REPLICA_SETS, namespace, name, replica_set_detail)
        scaled = await replace(self, query=()).autoscalers(REPLICA_SETS.type_name, namespace, name)
        errors = all_errors(detail["errors"], scaled.body["errors"])
        return {**detail, "horizontalPodAutoscalerList": scaled.body, "errors": errors}

    async def pods(self, kind: Kind[Any], namespace: str, name: str) -> Answer:
        """The pods that a workload controls."""
        owner, errors = await sub_list_owner(self.at, kind.resource, name, namespace)
        uid = _uid(owner)

        def only(_pods: View[Pod], around: Around) -> Collection[Pod]:
            return pods_of(uid, around)

        return with_errors(await self._sub_list(PODS, namespace, only), errors)

    async def services(self, kind: Kind[Any], namespace: str, name: str) -> Answer:
        """The services that send to the pods of a workload, by the labels of its template."""
        owner, errors = await sub_list_owner(self.at, kind.resource, name, namespace)
        labels = section(owner or {}, "spec", "template", "metadata", "labels")

        def only(services: View[Service], _around: Around) -> Collection[Service]:
            if not services.sees(namespace):
                return []
            among = services.by(BY_NAMESPACE, namespace)
            return [each for each in among if selects_labels(each.spec.selector, labels)]

        return with_errors(await self._sub_list(SERVICES, namespace, only), errors)

    async def claims(self, namespace: str, name: str) -> Answer:
        """The claims that a pod mounts."""
        pod, errors = await sub_list_owner(self.at, PODS.resource, name, namespace)
        return with_errors(await self._sub_list(CLAIMS, namespace, claims_of(pod or {})), errors)

    async def jobs(self, namespace: str, name: str, *, active: bool) -> Answer:
        """A CronJob's jobs that run, or those that do not."""
        owner, errors = await sub_list_owner(self.at, CRON_JOBS.resource, name, namespace)
        return with_errors(await self._sub_list(JOBS, namespace, jobs_of(_uid(owner), active=active)), errors)

    async def autoscalers(self, kind: str, namespace: str, name: str) -> Answer:
        """Those that scale an object: the first ten, unless the query says how many."""
        query = list(self.query)
        if not any(key in {"itemsPerPage", "page"} for key, _ in query):
            query += FIRST_TEN
        return await self.lists.answer(
            AUTOSCALERS,
            self.at,
            namespaces=namespace,
            query=query,
            fresh=self.fresh,
            only=scaling(kind, namespace, name),
        )

    async def old_replica_sets(self, namespace: str, name: str) -> Answer:
        """A Deployment's ReplicaSets that are not the new one and still have replicas."""
        owner, errors = await sub_list_owner(self.at, DEPLOYMENTS.resource, name, namespace)
        new = await self._new_replica_set(owner, errors) if owner is not None else None
        only = old_replica_sets(_uid(owner), but=_uid(new))
        return with_errors(await self._sub_list(REPLICA_SETS, namespace, only), errors)

    async def new_replica_set(self, namespace: str, name: str) -> Row:
        """A Deployment's new ReplicaSet. A query selects nothing here: there is one, or none."""
        owner, errors = await sub_list_owner(self.at, DEPLOYMENTS.resource, name, namespace)
        new = await self._new_replica_set(owner, errors) if owner is not None else None
        if new is None:
            return {**NO_REPLICA_SET, "errors": errors}
        around = await self.lists.around(self.at, REPLICA_SETS.beside, namespaces=namespace, fresh=self.fresh)
        return {**row_of(REPLICA_SETS, new, around), "errors": all_errors(errors, around.errors)}

    async def _new_replica_set(self, deployment: Json, errors: list[ErrStatus]) -> Json | None:
        namespace = deployment["metadata"].get("namespace", "")
        found = await list_beside(self.at, REPLICA_SETS.resource, namespace, errors, params=_selector(deployment))
        return new_replica_set(deployment, found)

    async def _sub_list(
        self, kind: Kind[Any], namespace: str, only: Callable[[View[Any], Around], Collection[Any]]
    ) -> Answer:
        return await self.lists.answer(
            kind, self.at, namespaces=namespace, query=self.query, fresh=self.fresh, only=only
        )


def _uid(found: Json | None) -> str:
    return str((found or {}).get("metadata", {}).get("uid", ""))


def _selector(deployment: Json) -> dict[str, str]:
    """What asks the API server for no more than the Deployment's own; owners are compared in any case."""
    labels = section(deployment, "spec", "selector", "matchLabels")
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))} if labels else {}
