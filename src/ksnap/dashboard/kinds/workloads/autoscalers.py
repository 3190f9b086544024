"""HorizontalPodAutoscalers. The contract shows one target, that for cpu, as autoscaling/v1 had it; v2 is read all the
same, for v1 writes what it cannot say into annotations, which are no user's."""

from collections.abc import Callable, Collection, Sequence

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class Target(Part, frozen=True):
    kind: str = ""
    name: str = ""


class Utilization(Part, frozen=True):
    average_utilization: int | None = None


class ResourceMetric(Part, frozen=True):
    """A metric of the spec has a target, one of the status what it is now."""

    name: str = ""
    target: Utilization = Utilization()
    current: Utilization = Utilization()


class Metric(Part, frozen=True):
    type: str = ""
    resource: ResourceMetric = ResourceMetric()


class AutoscalerSpec(Part, frozen=True):
    scale_target_ref: Target = Target()
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: tuple[Metric, ...] | None = None


class AutoscalerStatus(Part, frozen=True):
    current_metrics: tuple[Metric, ...] | None = None


_STATUS = AutoscalerStatus()


class Autoscaler(Record, frozen=True):
    """A HorizontalPodAutoscaler. Its metrics are empty once it has settled."""

    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = _STATUS
    target_cpu: int | None = None
    current_cpu: int | None = None

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        spec = self.spec
        keep(self, "target_cpu", _cpu(spec.metrics or ()).target.average_utilization)
        keep(self, "current_cpu", _cpu(self.status.current_metrics or ()).current.average_utilization)
        keep(self, "spec", AutoscalerSpec(spec.scale_target_ref, spec.min_replicas, spec.max_replicas))
        keep(self, "status", _STATUS)


def _cpu(metrics: Sequence[Metric]) -> ResourceMetric:
    """Of the pods as a whole, which is all that autoscaling/v1 had."""
    found = (each.resource for each in metrics if each.type == "Resource" and each.resource.name == "cpu")
    return next(found, ResourceMetric())


def _target(record: Autoscaler) -> tuple[str, str, str]:
    target = record.spec.scale_target_ref
    return record.metadata.namespace, target.kind.lower(), target.name


_BY_TARGET: Index[Autoscaler] = Index("target", lambda record: (_target(record),))


def _row(record: Autoscaler, _around: Around) -> Row:
    spec, target = record.spec, record.spec.scale_target_ref
    return {
        "scaleTargetRef": {"kind": target.kind, "name": target.name},
        "minReplicas": spec.min_replicas,
        "maxReplicas": spec.max_replicas,
        "currentCPUUtilizationPercentage": record.current_cpu,
        "targetCPUUtilizationPercentage": record.target_cpu,
    }


AUTOSCALERS = Kind(
    Resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", Autoscaler, group="autoscaling", version="v2"),
    type_name="horizontalpodautoscaler",
    row=_row,
    items="horizontalpodautoscalers",
)


def autoscaler_detail(found: Json) -> Row:
    """What a HorizontalPodAutoscalerDetail has beyond the list's row."""
    status = section(found, "status")
    return {
        "currentReplicas": status.get("currentReplicas", 0),
        "desiredReplicas": status.get("desiredReplicas", 0),
        "lastScaleTime": status.get("lastScaleTime"),
    }


def scaling(kind: str, namespace: str, name: str) -> Callable[[View[Autoscaler], Around], Collection[Autoscaler]]:
    """Those that scale one object, whose kind is written in any case."""

    def only(autoscalers: View[Autoscaler], _around: Around) -> Collection[Autoscaler]:
        return autoscalers.by(_BY_TARGET, (namespace, kind.lower(), name))

    return only
