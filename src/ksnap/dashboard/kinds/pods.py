"""Pods: the record that lists, counts and other kinds read, and the row (contract, sections 8 and 15).

A record is made smaller when it settles: what was read for a pod's status, images and reservations is worked out once
and then dropped, so that ten thousand pods take some ten megabytes, and a page computes next to nothing.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from ksnap.dashboard.kinds.events import EVENTS, WARNINGS_BY_UID, warnings
from ksnap.dashboard.kinds.pod_resources import Allocated, allocated
from ksnap.dashboard.kinds.pod_status import container_state, is_ready_or_succeeded, standing, status_text
from ksnap.dashboard.kinds.pod_wire import PodSpec, PodStatus
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.metrics import Name, Usage
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings

_SPEC, _STATUS = PodSpec(), PodStatus()


class ContainerLine(Part, frozen=True, omit_defaults=False):
    """An item of `containerStatuses`."""

    name: str = ""
    state: str = ""
    ready: bool = False


class Pod(Record, frozen=True):
    """A pod. `spec` and `status` are empty once it has settled; the fields below them are what is left."""

    spec: PodSpec = _SPEC
    status: PodStatus = _STATUS
    text: str = ""
    """The status as `kubectl get pods` shows it."""
    phase: str = ""
    node_name: str = ""
    standing: str = ""
    """running, pending, failed, succeeded or terminating, without a look at warnings."""
    is_settled: bool = True
    """Ready or succeeded: warnings about it are history."""
    restarts: int = 0
    images: tuple[str, ...] = ()
    init_images: tuple[str, ...] = ()
    containers: tuple[ContainerLine, ...] = ()
    allocated: Allocated = Allocated()

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        spec, status, deleted = self.spec, self.status, self.metadata.deletion_timestamp is not None
        keep(self.metadata, "creation_timestamp", strings.same(self.metadata.creation_timestamp))
        keep(self, "text", strings.shared(status_text(spec, status, deleted=deleted)))
        keep(self, "phase", strings.shared(status.phase))
        keep(self, "node_name", strings.shared(spec.node_name))
        keep(self, "standing", standing(status, deleted=deleted))
        keep(self, "is_settled", is_ready_or_succeeded(status))
        statuses = status.container_statuses
        keep(self, "restarts", sum(each.restart_count for each in statuses))
        keep(self, "images", strings.same(tuple(each.image for each in spec.containers)))
        keep(self, "init_images", strings.same(tuple(each.image for each in spec.init_containers)))
        lines = tuple(
            ContainerLine(each.name, container_state(each.state), each.ready) for each in status.container_statuses
        )
        keep(self, "containers", strings.same(lines))
        keep(self, "allocated", strings.same(allocated(spec)))
        keep(self, "spec", _SPEC)
        keep(self, "status", _STATUS)


BY_NODE: Index[Pod] = Index("node", lambda pod: (pod.node_name,))
_STANDINGS: Index[Pod] = Index("standing", lambda pod: (pod.standing, (pod.metadata.namespace, pod.standing)))
_UNSETTLED: Index[Pod] = Index("unsettled", lambda pod: () if pod.is_settled else (True,))


def warned(pod: Pod, events: View[Any]) -> bool:
    """Whether warnings about the pod count: it is not ready, and there are some."""
    return not pod.is_settled and events.count(WARNINGS_BY_UID, pod.metadata.uid) > 0


def count_by_standing(pods: View[Pod], around: Around) -> dict[str, int]:
    """The envelope's `status`: pods that are not ready and have warnings are failed ones."""
    names = ("running", "pending", "failed", "succeeded", "terminating")
    if pods.namespaces is None:
        found = {name: pods.count(_STANDINGS, name) for name in names}
    else:
        found = {name: sum(pods.count(_STANDINGS, (each, name)) for each in pods.namespaces) for name in names}
    events = around.view(EVENTS.resource)
    for pod in pods.by(_UNSETTLED, True):  # noqa: FBT003 - the group's value
        if pod.standing in {"pending", "terminating"} and warned(pod, events):
            found[pod.standing] -= 1
            found["failed"] += 1
    return found


def _row(pod: Pod, around: Around) -> Row:
    events = around.view(EVENTS.resource)
    return {
        "status": pod.text,
        "restartCount": pod.restarts,
        "metrics": _metrics(around.usage.get(("pod", pod.key))),
        "warnings": warnings(events, (pod.metadata.uid,)) if not pod.is_settled else [],
        "nodeName": pod.node_name,
        "containerImages": pod.images,
        "containerStatuses": pod.containers,
        "allocatedResources": pod.allocated,
    }


def _metrics(usage: Usage | None) -> Row | None:
    if usage is None:
        return None
    return {
        "cpuUsage": usage.cpu_millicores,
        "memoryUsage": usage.memory_bytes,
        "cpuUsageHistory": usage.cpu_history,
        "memoryUsageHistory": usage.memory_history,
    }


def _names(pods: Iterable[Pod], _around: Around) -> list[Name]:
    return [each.key for each in pods]


PODS: Kind[Pod] = Kind(
    Resource("pods", "Pod", Pod),
    type_name="pod",
    row=_row,
    items="pods",
    properties=(text("status", attrgetter("text")),),
    beside=(EVENTS.resource,),
    status=count_by_standing,
    metered=Metered("pod", _names, in_rows=True),
)
