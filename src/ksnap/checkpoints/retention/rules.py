"""Which checkpoints go: by count, age and total size, per workload, namespace or cluster. Pure.

What is pinned, and what is still being made, never goes. A policy that keeps the newest spares the newest complete
checkpoint of each workload whatever its age or size: with it a workload that was once frozen stays fast.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ksnap.model.checkpoint_key import Workload


class Per(StrEnum):
    """What count and size are counted over."""

    WORKLOAD = "workload"
    """A container of an owner: Deployment/web, container app."""
    NAMESPACE = "namespace"
    CLUSTER = "cluster"


class Reason(StrEnum):
    """Why a checkpoint goes."""

    COUNT = "count"
    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule. None: no such bound; an empty scope: everywhere."""

    name: str
    cluster: str = ""
    namespace: str = ""
    owner: str = ""
    """`Kind/name`, as in a checkpoint's key."""
    per: Per = Per.WORKLOAD
    keep_last: int | None = None
    max_age: timedelta | None = None
    max_bytes: int | None = None
    keep_newest: bool = True

    def covers(self, workload: Workload) -> bool:
        return all(
            not wanted or wanted == has
            for wanted, has in (
                (self.cluster, workload.cluster),
                (self.namespace, workload.namespace),
                (self.owner, workload.owner),
            )
        )

    def group_of(self, workload: Workload) -> tuple[str, ...]:
        match self.per:
            case Per.CLUSTER:
                return (workload.cluster,)
            case Per.NAMESPACE:
                return (workload.cluster, workload.namespace)
            case Per.WORKLOAD:
                return (workload.cluster, workload.namespace, workload.owner, workload.container)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint that has ended."""

    id: str
    workload: Workload
    created_at: datetime
    size_bytes: int
    """What it takes, compressed."""
    is_complete: bool
    """False: it failed, and holds nothing but its record."""
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Doomed:
    """One that goes, and by which rule; the first policy that said so."""

    candidate: Candidate
    policy: str
    reason: Reason


def doomed(policies: Sequence[Policy], candidates: Iterable[Candidate], now: datetime) -> list[Doomed]:
    """What goes, oldest first. Each policy looks at what those before it have left."""
    left = sorted(candidates, key=lambda each: (each.created_at, each.id), reverse=True)
    newest = _newest_of_each(left)
    gone: list[Doomed] = []
    for policy in policies:
        spared = newest if policy.keep_newest else frozenset()
        found = _by_policy(policy, left, spared, now)
        gone += found
        ids = {each.candidate.id for each in found}
        left = [each for each in left if each.id not in ids]
    return sorted(gone, key=lambda each: (each.candidate.created_at, each.candidate.id))


def _newest_of_each(newest_first: Sequence[Candidate]) -> frozenset[str]:
    seen: dict[Workload, str] = {}
    for each in newest_first:
        if each.is_complete:
            seen.setdefault(each.workload, each.id)
    return frozenset(seen.values())


def _by_policy(
    policy: Policy, newest_first: Sequence[Candidate], spared: frozenset[str], now: datetime
) -> list[Doomed]:
    groups: dict[tuple[str, ...], list[Candidate]] = defaultdict(list)
    for each in newest_first:
        if policy.covers(each.workload):
            groups[policy.group_of(each.workload)].append(each)
    return [found for group in groups.values() for found in _of_group(policy, group, spared, now)]


def _of_group(policy: Policy, newest_first: Sequence[Candidate], spared: frozenset[str], now: datetime) -> list[Doomed]:
    """By age first, then by count, then by size of what is left, the oldest first."""
    gone: dict[str, Doomed] = {}

    def go(candidate: Candidate, reason: Reason) -> None:
        if not candidate.is_pinned and candidate.id not in spared:
            gone.setdefault(candidate.id, Doomed(candidate, policy.name, reason))

    if policy.max_age is not None:
        for each in newest_first:
            if now - each.created_at > policy.max_age:
                go(each, Reason.AGE)
    complete = [each for each in newest_first if each.is_complete and each.id not in gone]
    if policy.keep_last is not None:
        for each in complete[policy.keep_last :]:
            go(each, Reason.COUNT)
    if policy.max_bytes is not None:
        total = sum(each.size_bytes for each in complete if each.id not in gone)
        for each in reversed(complete):
            if total <= policy.max_bytes:
                break
            if each.id in gone:
                continue
            go(each, Reason.SIZE)
            total -= each.size_bytes if each.id in gone else 0
    return list(gone.values())
