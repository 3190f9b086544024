"""What of a pod is read: the pod and what its variables refer to at the API server, the rest out of the caches."""

from collections.abc import Collection

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import FIRST_TEN, all_errors, events_of, read, read_beside
from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.pods import PODS, Pod
from ksnap.dashboard.kinds.storage.claims import CLAIMS
from ksnap.dashboard.kinds.workloads.controller import controller_row
from ksnap.dashboard.kinds.workloads.environment import Sources, references
from ksnap.dashboard.kinds.workloads.owners import controller_of, owner_chain
from ksnap.dashboard.kinds.workloads.pod_detail import claims_of, pod_detail
from ksnap.dashboard.kinds.workloads.pod_info import BESIDE
from ksnap.dashboard.selection.lists import Lists
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.dashboard.statuses import ErrStatus
from ksnap.dashboard.together import together
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

_CONFIG_MAPS = Resource("configmaps", "ConfigMap", Record)
_SECRETS = Resource("secrets", "Secret", Record)
_NO_ROWS = (("itemsPerPage", "0"), ("page", "1"))


async def read_pod(
    lists: Lists, at: ClusterAsCaller, namespace: str, name: str, *, show_secrets: bool, fresh: bool
) -> Row:
    """PodDetail. The values of secrets among its variables are hidden unless `show_secrets`."""
    pod = await read(at, PODS.resource, name, namespace)
    errors: list[ErrStatus] = []
    uid = str(pod["metadata"].get("uid", ""))
    counted = BESIDE if controller_of(pod) is not None else ()
    async with together() as group:
        chain = group.create_task(owner_chain(at, pod, errors))
        sources = group.create_task(_sources(at, pod, errors, show_secrets=show_secrets))
        around = group.create_task(lists.around(at, counted, namespaces=namespace, fresh=fresh))
        events = group.create_task(
            events_of(lists, at, PODS.resource, name, namespace, uid=uid, query=FIRST_TEN, fresh=fresh)
        )
        claims = group.create_task(
            lists.answer(CLAIMS, at, namespaces=namespace, query=FIRST_TEN, fresh=fresh, only=claims_of(pod))
        )
        metrics = group.create_task(_metrics(lists, at, namespace, name))
    owners, beside = chain.result(), (events.result().body, claims.result().body)
    controller = {"controller": controller_row(owners[0], pod, around.result())} if owners else {}
    return {
        **pod_detail(pod, sources.result()),
        **controller,
        "ownerChain": [each.row for each in owners],
        "metrics": metrics.result(),
        "eventList": beside[0],
        "persistentVolumeClaimList": beside[1],
        "errors": all_errors(errors, around.result().errors, *(each["errors"] for each in beside)),
    }


async def _sources(at: ClusterAsCaller, pod: Json, errors: list[ErrStatus], *, show_secrets: bool) -> Sources:
    """What the pod's variables refer to, and nothing else, as the caller."""
    wanted = references(pod, show_secrets=show_secrets)
    namespace = pod["metadata"].get("namespace", "")

    async def found(resource: Resource[Record], names: Collection[str]) -> dict[str, Json]:
        async with together() as group:
            tasks = {each: group.create_task(read_beside(at, resource, each, namespace, errors)) for each in names}
        return {name: body for name, task in tasks.items() if (body := task.result()) is not None}

    return Sources(
        await found(_CONFIG_MAPS, wanted.config_maps), await found(_SECRETS, wanted.secrets), show_secrets=show_secrets
    )


async def _metrics(lists: Lists, at: ClusterAsCaller, namespace: str, name: str) -> list[Row]:
    """What a list's cumulative metrics would be, were this its only pod."""

    def this(pods: View[Pod], _around: Around) -> Collection[Pod]:
        pod = pods.get(namespace, name)
        return [] if pod is None else [pod]

    answer = await lists.answer(PODS, at, namespaces=namespace, query=_NO_ROWS, only=this)
    metrics: list[Row] = answer.body["cumulativeMetrics"]
    return metrics
