"""HorizontalPodAutoscalers, as autoscaling/v1 has them: with one target for cpu, as the contract shows it."""

from collections.abc import Callable, Collection

import msgspec

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource


class Target(Part, frozen=True):
    kind: str = ""
    name: str = ""


class AutoscalerSpec(Part, frozen=True):
    scale_target_ref: Target = Target()
    min_replicas: int | None = None
    max_replicas: int = 0
    target_cpu: int | None = msgspec.field(default=None, name="targetCPUUtilizationPercentage")


class AutoscalerStatus(Part, frozen=True):
    current_cpu: int | None = msgspec.field(default=None, name="currentCPUUtilizationPercentage")


class Autoscaler(Record, frozen=True):
    """A HorizontalPodAutoscaler."""

    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


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
        "currentCPUUtilizationPercentage": record.status.current_cpu,
        "targetCPUUtilizationPercentage": spec.target_cpu,
    }


AUTOSCALERS = Kind(
    Resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", Autoscaler, group="autoscaling"),
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
