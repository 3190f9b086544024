"""What of nodes and namespaces is read, at the API server and out of the watch caches."""

from collections.abc import Collection, Iterable

from ksnap.dashboard.beside import list_beside
from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import Query, read
from ksnap.dashboard.kinds.cluster.namespaces import LIMIT_RANGES, NAMESPACES, QUOTAS, namespace_detail
from ksnap.dashboard.kinds.cluster.nodes import NODES, Node, events_about, node_detail, pods_on
from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.selection.lists import Lists
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.dashboard.statuses import ErrStatus

_PAGE = frozenset({"itemsPerPage", "page"})


async def read_namespace(at: ClusterAsCaller, name: str) -> Row:
    """NamespaceDetail."""
    found = await read(at, NAMESPACES.resource, name)
    errors: list[ErrStatus] = []
    quotas = await list_beside(at, QUOTAS, name, errors)
    ranges = await list_beside(at, LIMIT_RANGES, name, errors)
    return {**namespace_detail(found, quotas, ranges), "errors": errors}


async def read_node(lists: Lists, at: ClusterAsCaller, name: str, *, query: Query = (), fresh: bool = False) -> Row:
    """NodeDetail. Of the query the page counts, for its two lists; what they can be sorted by is not the same."""
    found = await read(at, NODES.resource, name)
    uid = str(found["metadata"].get("uid", ""))
    page = [(key, value) for key, value in query if key in _PAGE]
    around = await lists.around(at, (PODS.resource, EVENTS.resource), fresh=fresh)
    pods = await lists.answer(PODS, at, query=page, only=lambda view, _: pods_on(view, name))
    events = await lists.answer(EVENTS, at, query=page, only=lambda view, _: events_about(view, name, uid))
    return {
        **node_detail(found, around),
        "podList": pods.body,
        "eventList": events.body,
        "metrics": await _metrics(lists, at, name),
    }


async def _metrics(lists: Lists, at: ClusterAsCaller, name: str) -> Iterable[Row]:
    """What the list's cumulative metrics would be, were this its only node."""

    def this(nodes: View[Node], _around: Around) -> Collection[Node]:
        node = nodes.get("", name)
        return [] if node is None else [node]

    answer = await lists.answer(NODES, at, query=(("itemsPerPage", "0"), ("page", "1")), only=this)
    metrics: Iterable[Row] = answer.body["cumulativeMetrics"]
    return metrics
