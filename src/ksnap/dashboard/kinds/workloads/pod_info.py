"""The pods of a workload, counted: PodInfo in rows, `status` of lists, and whose metrics a list sums up.

A pod belongs to who controls it, whatever its labels say: selectors may overlap. All of it goes by indexes, so that a
list costs what is on its page, and its `status` what the pods cost that are not as they should be.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ksnap.dashboard.kinds.events import EVENTS, warnings
from ksnap.dashboard.kinds.indexes import BY_OWNER, BY_UID
from ksnap.dashboard.kinds.pods import PODS, Pod, warned
from ksnap.dashboard.selection.metrics import Name
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import NO_RECORDS, Index
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)
Owners = Callable[[str, Around], Iterable[str]]
"""The uids of the listed workloads behind a pod's controller."""

BESIDE: tuple[Resource[Any], ...] = (PODS.resource, EVENTS.resource)
_PHASES = ("Running", "Pending", "Failed", "Succeeded")


def controller_uid(record: Record) -> str:
    """The uid of who controls it; empty if nobody does."""
    return next((each.uid for each in record.metadata.owner_references if each.controller), "")


BY_CONTROLLER: Index[Pod] = Index("controller", lambda pod: (controller_uid(pod),))
_UNSETTLED_BY_CONTROLLER: Index[Pod] = Index(
    "unsettled by controller", lambda pod: () if pod.is_settled else (controller_uid(pod),)
)


def pods_of(uid: str, around: Around) -> Sequence[Pod]:
    """The pods that this one controls."""
    return list(around.view(PODS.resource).by(BY_CONTROLLER, uid)) if uid else []


def pod_info(current: int, desired: int | None, pods: Sequence[Pod], around: Around) -> Row:
    """PodInfo. `desired` is left out where there is no such number."""
    phases = [pod.phase for pod in pods]
    unsettled = (pod.metadata.uid for pod in pods if not pod.is_settled)
    return {
        "current": current,
        **({} if desired is None else {"desired": desired}),
        **{phase.lower(): phases.count(phase) for phase in _PHASES},
        "warnings": warnings(around.view(EVENTS.resource), unsettled),
    }


def itself(uid: str, _around: Around) -> Iterable[str]:
    return (uid,)


def owners_through(resource: Resource[Any]) -> Owners:
    """Those who own the controller, which is one of these."""

    def owners(uid: str, around: Around) -> Iterable[str]:
        found = around.view(resource).by(BY_UID, uid)
        return [owner.uid for each in found for owner in each.metadata.owner_references]

    return owners


def status_by_pods(owners: Owners = itself) -> Callable[[View[R], Around], dict[str, int]]:
    """Counts a list's `status` (contract, section 8): failed with warnings about pods, pending with one that is."""

    def count(listed: View[R], around: Around) -> dict[str, int]:
        pods, events = around.view(PODS.resource), around.view(EVENTS.resource)
        failed: set[str] = set()
        pending: set[str] = set()
        for controller, group in pods.objects.groups(_UNSETTLED_BY_CONTROLLER).items():
            seen = [pod for pod in group.values() if pods.sees(pod.metadata.namespace)]
            if any(warned(pod, events) for pod in seen):
                failed.update(_listed(owners(controller, around), listed))
            elif any(pod.phase == "Pending" for pod in seen):
                pending.update(_listed(owners(controller, around), listed))
        pending -= failed
        return {"running": len(listed) - len(failed) - len(pending), "pending": len(pending), "failed": len(failed)}

    return count


def _listed(uids: Iterable[str], among: View[Any]) -> Iterable[str]:
    return [uid for uid in uids if uid and among.count(BY_UID, uid)]


def pod_names(controllers: Callable[[Any, Around], Iterable[str]]) -> Callable[[Iterable[Any], Around], list[Name]]:
    """The pods whose use a list sums up, by the uids of what controls them: thousands, so without a look at any."""

    def names(records: Iterable[Any], around: Around) -> list[Name]:
        pods = around.view(PODS.resource)
        groups = pods.objects.groups(BY_CONTROLLER)
        uids = (uid for record in records for uid in controllers(record, around))
        return [key for uid in uids for key in groups.get(uid, NO_RECORDS) if pods.sees(key[0])]

    return names


def own_uid(record: Record, _around: Around) -> Iterable[str]:
    """Of what controls its pods itself."""
    return (record.metadata.uid,)


def uids_behind(resource: Resource[Any]) -> Callable[[Record, Around], Iterable[str]]:
    """Of what a record has between itself and its pods."""

    def uids(record: Record, around: Around) -> Iterable[str]:
        return (each.metadata.uid for each in around.view(resource).by(BY_OWNER, record.metadata.uid))

    return uids
