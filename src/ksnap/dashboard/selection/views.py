"""A watch cache as one caller may see it, and several of them beside each other."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from ksnap.dashboard.selection.metrics import Measured, Name, Usage
from ksnap.dashboard.statuses import ErrStatus
from ksnap.kube.watch.cache import WatchCache
from ksnap.kube.watch.objects import Index, Objects
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)


class View(Generic[R]):
    """The records of a resource in the namespaces that the caller asked for and may list."""

    def __init__(self, cache: WatchCache[R] | None, namespaces: frozenset[str] | None) -> None:
        self.cache = cache
        """None where the caller may see nothing of it: then it need not even run."""
        self.objects: Objects[R] = cache.objects if cache is not None else Objects()
        self.namespaces = namespaces
        """None: all."""

    def get(self, namespace: str, name: str) -> R | None:
        return self.objects.get(namespace, name) if self.sees(namespace) else None

    def by(self, index: Index[R], value: Any) -> Collection[R]:
        """The records with this value of an index, in no order."""
        found = self.objects.by(index, value)
        return found if self.namespaces is None else [each for each in found if self.sees(each.metadata.namespace)]

    def count(self, index: Index[R], value: Any) -> int:
        """How many records have this value of an index."""
        group = self.objects.groups(index).get(value)
        if group is None:
            return 0
        return len(group) if self.namespaces is None else sum(1 for namespace, _ in group if self.sees(namespace))

    def sees(self, namespace: str) -> bool:
        return self.namespaces is None or namespace in self.namespaces

    def among(self) -> Collection[R] | None:
        """The records, if they are not all: for `pick`."""
        if self.namespaces is None:
            return None
        return [each for name in sorted(self.namespaces) for each in self.objects.by(BY_NAMESPACE, name)]

    def __iter__(self) -> Iterator[R]:
        among = self.among()
        return iter(self.objects if among is None else among)

    def __len__(self) -> int:
        if self.namespaces is None:
            return len(self.objects)
        return sum(self.count(BY_NAMESPACE, each) for each in self.namespaces)


BY_NAMESPACE: Index[Any] = Index("namespace", lambda record: (record.metadata.namespace,))


@dataclass(slots=True)
class Around:
    """What rows and counts may look at beside their own record. Nothing in it waits; it holds for one answer."""

    cluster: str
    views: Mapping[Resource[Any], View[Any]]
    errors: list[ErrStatus] = field(default_factory=list)
    """What the caller may not list, as items of `errors`. Their views are empty."""
    usage: Mapping[tuple[Measured, Name], Usage] = field(default_factory=dict)
    """Of the rows of the page, by what is measured and its name."""

    def view(self, resource: Resource[R]) -> View[R]:
        """Only of resources that the kind names in `beside`, or the call in `also`."""
        return cast(View[R], self.views[resource])
