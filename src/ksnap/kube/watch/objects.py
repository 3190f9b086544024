"""The records of one cache, with the indexes and orders that readers asked for. Pure: no waiting, no network.

Indexes and orders are made on first use and kept up at each change, so that a reader never looks at all objects to
find some, and never sorts them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sortedcontainers import SortedKeyList

from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)
Key = tuple[str, str]
Values = Iterable[Any]


@dataclass(frozen=True, slots=True)
class Index(Generic[R]):
    """Groups records by values of theirs: `Index("node", lambda pod: (pod.spec.node_name,))`. Make it once, at the
    module's level; it is known by its name within a resource."""

    name: str
    values: Callable[[R], Values]


@dataclass(frozen=True, slots=True)
class Order(Generic[R]):
    """Sorts records by a value of theirs; ties by namespace, name and uid. Known by its name within a resource."""

    name: str
    value: Callable[[R], Any]

    def key(self, record: R) -> tuple[Any, str, str, str]:
        metadata = record.metadata
        return self.value(record), metadata.namespace, metadata.name, metadata.uid


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """One object's change. `old` is None for an added one, `new` for a deleted one."""

    type: Literal["added", "modified", "deleted"]
    old: R | None
    new: R | None

    @property
    def record(self) -> R:
        """The newest there is."""
        found = self.new if self.new is not None else self.old
        if found is None:
            raise ValueError("a change of nothing")
        return found


class Objects(Generic[R]):
    """Records by namespace and name."""

    def __init__(self) -> None:
        self._records: dict[Key, R] = {}
        self._indexes: dict[str, tuple[Index[R], dict[Any, dict[Key, R]]]] = {}
        self._orders: dict[str, tuple[Order[R], SortedKeyList[R, Any]]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def get(self, namespace: str, name: str) -> R | None:
        return self._records.get((namespace, name))

    def by(self, index: Index[R], value: Any) -> Sequence[R]:
        """The records with this value, in no order."""
        return list(self._groups(index).get(value, NO_RECORDS).values())

    def groups(self, index: Index[R]) -> dict[Any, dict[Key, R]]:
        """All groups of an index. To be read, not kept and not changed."""
        return self._groups(index)

    def sorted(self, order: Order[R]) -> SortedKeyList[R, Any]:
        """All records in this order. To be read before anything is awaited, and not changed."""
        known = self._orders.get(order.name)
        if known is None:
            known = order, SortedKeyList(self._records.values(), key=order.key)
            self._orders[order.name] = known
        _same(known[0], order)
        return known[1]

    def put(self, record: R) -> Change[R] | None:
        """Add or replace one; None if it is the one that is there."""
        old = self._records.get(record.key)
        if old is not None and old.metadata.resource_version == record.metadata.resource_version:
            return None
        self._records[record.key] = record
        if old is not None:
            self._unlist(old)
        self._enlist(record)
        return Change("added" if old is None else "modified", old, record)

    def remove(self, key: Key, last: R | None = None) -> Change[R] | None:
        """Take one out; `last` is how it was at its end. None if it is not there."""
        old = self._records.pop(key, None)
        if old is None:
            return None
        self._unlist(old)
        return Change("deleted", last if last is not None else old, None)

    def replace(self, records: Iterable[R]) -> list[Change[R]]:
        """Be exactly these; what changed by it."""
        fresh = {each.key: each for each in records}
        changes = [self.remove(key) for key in [key for key in self._records if key not in fresh]]
        changes += [self.put(each) for each in fresh.values()]
        return [each for each in changes if each is not None]

    def _groups(self, index: Index[R]) -> dict[Any, dict[Key, R]]:
        known = self._indexes.get(index.name)
        if known is None:
            groups: dict[Any, dict[Key, R]] = {}
            for each in self._records.values():
                _group(index, groups, each)
            known = index, groups
            self._indexes[index.name] = known
        _same(known[0], index)
        return known[1]

    def _enlist(self, record: R) -> None:
        for index, groups in self._indexes.values():
            _group(index, groups, record)
        for _, listed in self._orders.values():
            listed.add(record)

    def _unlist(self, record: R) -> None:
        for index, groups in self._indexes.values():
            _ungroup(index, groups, record)
        for _, listed in self._orders.values():
            listed.remove(record)


def _same(known: Index[R] | Order[R], asked: Index[R] | Order[R]) -> None:
    """Two of one name would answer for each other."""
    if known is not asked and known != asked:
        raise ValueError(f"there are two {type(asked).__name__} objects of the name {asked.name!r}")


NO_RECORDS: dict[Key, Any] = {}


def _group(index: Index[R], groups: dict[Any, dict[Key, R]], record: R) -> None:
    for value in index.values(record):
        groups.setdefault(value, {})[record.key] = record


def _ungroup(index: Index[R], groups: dict[Any, dict[Key, R]], record: R) -> None:
    for value in index.values(record):
        group = groups.get(value)
        if group is not None and group.pop(record.key, None) is not None and not group:
            del groups[value]
