"""Which rows a change in a resource beside the list's own may concern. Pure.

Owners (a pod's ReplicaSet, and its Deployment behind that), the object that an event is about (and its owners), and
the node that a pod is on. What is related in no such way is found by looking at all rows from time to time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.objects import Change
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


@dataclass(frozen=True, slots=True)
class Link:
    """An object that something points to."""

    uid: str
    namespace: str
    name: str


@dataclass(slots=True)
class Touched:
    """What may have to be shown anew."""

    everything: bool = False
    links: set[Link] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.everything or bool(self.links) or bool(self.nodes)

    def add(self, change: Change[Any]) -> None:
        """Take note of a change beside the list."""
        for record in (change.old, change.new):
            if record is None:
                continue
            self.links.update(_links(record))
            node = getattr(record, "node_name", "")
            if node:
                self.nodes.add(node)

    def uids(self, around: Around, beside: Iterable[Resource[Any]]) -> set[str]:
        """Of all that is pointed to, by way of others too, as far as the caller sees them."""
        views = [around.view(each) for each in beside]
        waiting, found = list(self.links), set[str]()
        while waiting:
            link = waiting.pop()
            if link.uid in found:
                continue
            found.add(link.uid)
            for view in views:
                record = view.get(link.namespace, link.name)
                if record is not None and record.metadata.uid == link.uid:
                    waiting += _links(record)
        return found


def _links(record: Record) -> list[Link]:
    metadata = record.metadata
    found = [Link(each.uid, metadata.namespace, each.name) for each in metadata.owner_references]
    about = getattr(record, "involved_object", None)
    if about is not None:
        found.append(Link(about.uid, about.namespace, about.name))
    return found
