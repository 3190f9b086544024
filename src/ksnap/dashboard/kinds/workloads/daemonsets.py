"""DaemonSets."""

from collections.abc import Sequence

from ksnap.dashboard.kinds.common import Json, section, set_only
from ksnap.dashboard.kinds.pods import Pod
from ksnap.dashboard.kinds.workloads.pod_info import BESIDE, own_uid, pod_info, pod_names, pods_of, status_by_pods
from ksnap.dashboard.kinds.workloads.wire import Images, Template, images_of
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class DaemonSetSpec(Part, frozen=True):
    template: Template = Template()


class DaemonSetStatus(Part, frozen=True):
    current_number_scheduled: int = 0
    desired_number_scheduled: int = 0


_SPEC = DaemonSetSpec()


class DaemonSet(Record, frozen=True):
    """A DaemonSet. `spec` is empty once it has settled."""

    spec: DaemonSetSpec = _SPEC
    status: DaemonSetStatus = DaemonSetStatus()
    images: Images = Images()

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        keep(self, "images", images_of(self.spec.template, strings))
        keep(self, "spec", _SPEC)


def _pods(record: DaemonSet, around: Around) -> Sequence[Pod]:
    return pods_of(record.metadata.uid, around)


def _row(record: DaemonSet, around: Around) -> Row:
    status = record.status
    info = pod_info(status.current_number_scheduled, status.desired_number_scheduled, _pods(record, around), around)
    return {"podInfo": info, **record.images.row}


DAEMON_SETS = Kind(
    Resource("daemonsets", "DaemonSet", DaemonSet, group="apps"),
    type_name="daemonset",
    row=_row,
    items="daemonSets",
    beside=BESIDE,
    status=status_by_pods(),
    metered=Metered("pod", pod_names(own_uid)),
    restartable=True,
)


def daemon_set_detail(found: Json) -> Row:
    """What a DaemonSetDetail has beyond the list's row."""
    return set_only(labelSelector=section(found, "spec").get("selector"))
