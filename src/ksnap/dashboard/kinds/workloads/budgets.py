"""PodDisruptionBudgets."""

from typing import Any

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource


class BudgetSpec(Part, frozen=True):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str | None = None
    selector: dict[str, Any] | None = None


class BudgetStatus(Part, frozen=True):
    current_healthy: int = 0
    desired_healthy: int = 0
    disruptions_allowed: int = 0
    expected_pods: int = 0


class Budget(Record, frozen=True):
    """A PodDisruptionBudget."""

    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


def _row(record: Budget, _around: Around) -> Row:
    spec, status = record.spec, record.status
    return {
        "minAvailable": spec.min_available,
        "maxUnavailable": spec.max_unavailable,
        "unhealthyPodEvictionPolicy": spec.unhealthy_pod_eviction_policy,
        **({} if spec.selector is None else {"labelSelector": spec.selector}),
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "disruptionsAllowed": status.disruptions_allowed,
        "expectedPods": status.expected_pods,
    }


BUDGETS = Kind(
    Resource("poddisruptionbudgets", "PodDisruptionBudget", Budget, group="policy"),
    type_name="poddisruptionbudget",
    row=_row,
)


def budget_detail(found: Json) -> Row:
    """What a PodDisruptionBudgetDetail has beyond the list's row."""
    return {"disruptedPods": section(found, "status").get("disruptedPods") or {}}
