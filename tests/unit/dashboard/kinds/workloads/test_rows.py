"""Rows and details of workloads, as far as the real cluster does not show them at will."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.common import Json, as_record, row_of
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.kinds.workloads.autoscalers import AUTOSCALERS, autoscaler_detail, scaling
from ksnap.dashboard.kinds.workloads.budgets import BUDGETS, budget_detail
from ksnap.dashboard.kinds.workloads.cronjobs import CRON_JOBS, count_cron_jobs, jobs_of
from ksnap.dashboard.kinds.workloads.deployments import (
    deployment_detail,
    new_replica_set,
    old_replica_sets,
)
from ksnap.dashboard.kinds.workloads.jobs import JOBS, count_jobs
from ksnap.dashboard.kinds.workloads.replicated import REPLICA_SETS
from tests.unit.dashboard.kinds.workloads.around import around, meta, pod, view

NOTHING = around()


def condition(kind: str, status: str = "True", message: str = "") -> Json:
    return {"type": kind, "status": status, "message": message}


@pytest.mark.parametrize(
    ("conditions", "state", "message"),
    [
        ([], "Running", ""),
        ([condition("Suspended")], "Running", ""),
        ([condition("Complete", "False"), condition("Failed", "False", "x")], "Running", ""),
        ([condition("SuccessCriteriaMet"), condition("Complete", message="Reached")], "Complete", ""),
        ([condition("FailureTarget", message="x"), condition("Failed", message="Too often")], "Failed", "Too often"),
    ],
)
def test_a_jobs_state(conditions: list[Json], state: str, message: str) -> None:
    row = row_of(JOBS, {"metadata": meta("j"), "status": {"conditions": conditions}}, NOTHING)
    status = row["jobStatus"]
    assert (status["status"], status["message"], len(status["conditions"])) == (state, message, len(conditions))
    assert (row["parallelism"], "desired" in row["podInfo"]) == (None, False)


def test_jobs_that_have_not_ended_run_if_a_pod_does() -> None:
    jobs = [
        {"metadata": meta("complete"), "status": {"conditions": [condition("Complete")]}},
        {"metadata": meta("failed"), "status": {"conditions": [condition("Failed")]}},
        *({"metadata": meta(name)} for name in ("running", "starting", "suspended")),
    ]
    pods = view(PODS.resource, pod("a", "running"), pod("b", "starting", "Pending"), pod("c", "complete"))
    counted = count_jobs(view(JOBS.resource, *jobs), around((PODS.resource, pods)))
    assert counted == {"running": 1, "pending": 2, "failed": 1, "succeeded": 1}


@pytest.mark.parametrize(
    ("spec", "failed"), [({}, 0), ({"suspend": None}, 0), ({"suspend": False}, 0), ({"suspend": True}, 1)]
)
def test_suspended_cron_jobs_count_as_failed(spec: Json, failed: int) -> None:
    listed = view(CRON_JOBS.resource, {"metadata": meta("c"), "spec": spec})
    assert count_cron_jobs(listed, NOTHING) == {"running": 1 - failed, "failed": failed}


def test_a_cron_job_that_never_ran() -> None:
    row = row_of(CRON_JOBS, {"metadata": meta("c"), "spec": {"schedule": "@daily"}}, NOTHING)
    assert (row["suspend"], row["active"], row["lastSchedule"], row["containerImages"]) == (None, 0, None, ())


def test_jobs_of_a_cron_job() -> None:
    jobs = view(
        JOBS.resource,
        {"metadata": meta("runs", "c"), "status": {"active": 1}},
        {"metadata": meta("ended", "c"), "status": {"active": 0}},
        {"metadata": meta("guest", "c", controller=False), "status": {"active": 1}},
        {"metadata": meta("others", "d"), "status": {"active": 1}},
    )
    assert [each.metadata.name for each in jobs_of("u-c", active=True)(jobs, NOTHING)] == ["runs"]
    assert [each.metadata.name for each in jobs_of("u-c", active=False)(jobs, NOTHING)] == ["ended"]
    assert jobs_of("", active=True)(jobs, NOTHING) == []


def replica_set(
    name: str, image: str, *, owner: str = "web", replicas: int = 0, made: str = "1", **labels: str
) -> Json:
    template = {"metadata": {"labels": {"app": "web", "pod-template-hash": name, **labels}}, "spec": {"image": image}}
    metadata = {**meta(name, owner), "creationTimestamp": made}
    return {"metadata": metadata, "spec": {"replicas": replicas, "template": template}}


WEB = {
    "metadata": meta("web"),
    "spec": {"template": {"metadata": {"labels": {"app": "web"}, "creationTimestamp": None}, "spec": {"image": "b"}}},
}


@pytest.mark.parametrize(
    ("sets", "new"),
    [
        ([], None),
        ([replica_set("old", "a")], None),
        ([replica_set("old", "a"), replica_set("new", "b")], "new"),
        ([replica_set("other", "b", owner="api")], None),
        ([replica_set("labelled", "b", tier="x")], None),
        ([replica_set("later", "b", made="2"), replica_set("first", "b", made="1")], "first"),
    ],
)
def test_the_new_replica_set_has_the_deployments_template(sets: list[Json], new: str | None) -> None:
    found = new_replica_set(WEB, sets)
    assert (found and found["metadata"]["name"]) == new


def test_old_replica_sets_have_replicas() -> None:
    sets = view(
        REPLICA_SETS.resource,
        replica_set("new", "b", replicas=1),
        replica_set("old", "a", replicas=2),
        replica_set("older", "a"),
        replica_set("other", "a", owner="api", replicas=1),
    )
    assert [each.metadata.name for each in old_replica_sets("u-web", but="u-new")(sets, NOTHING)] == ["old"]
    assert old_replica_sets("", but="")(sets, NOTHING) == []


def test_a_deployment_that_has_no_status_yet() -> None:
    found = deployment_detail({"spec": {"strategy": {"type": "Recreate"}}})
    assert found["statusInfo"] == {"replicas": 0, "updated": 0, "available": 0, "unavailable": 0}
    assert (found["strategy"], found["selector"], found["conditions"]) == ("Recreate", {}, ())
    assert "rollingUpdateStrategy" not in found


def test_an_autoscalers_cpu() -> None:
    def cpu(key: str, percent: int, kind: str = "Resource") -> list[Json]:
        memory = {"type": "Resource", "resource": {"name": "memory", key: {"averageUtilization": 1}}}
        return [memory, {"type": kind, "resource": {"name": "cpu", key: {"averageUtilization": percent}}}]

    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": cpu("target", 70)}
    status = {"currentMetrics": cpu("current", 35), "currentReplicas": 2}
    found = {"metadata": meta("a"), "spec": spec, "status": status}
    row = row_of(AUTOSCALERS, found, NOTHING)
    assert (row["targetCPUUtilizationPercentage"], row["currentCPUUtilizationPercentage"]) == (70, 35)
    assert (row["scaleTargetRef"], row["maxReplicas"]) == ({"kind": "Deployment", "name": "web"}, 5)
    assert autoscaler_detail(found) == {"currentReplicas": 2, "desiredReplicas": 0, "lastScaleTime": None}
    of_container = {
        **found,
        "spec": {**spec, "metrics": cpu("target", 70, "ContainerResource")},
        "status": {"currentMetrics": None},
    }
    row = row_of(AUTOSCALERS, of_container, NOTHING)
    assert (row["targetCPUUtilizationPercentage"], row["currentCPUUtilizationPercentage"]) == (None, None)


def test_autoscalers_are_found_by_kind_in_any_case() -> None:
    found = {"metadata": meta("a"), "spec": {"scaleTargetRef": {"kind": "ReplicaSet", "name": "web"}}}
    listed = view(AUTOSCALERS.resource, found)
    assert len(scaling("replicaset", "n", "web")(listed, NOTHING)) == 1
    for other in (("deployment", "n", "web"), ("replicaset", "m", "web"), ("replicaset", "n", "api")):
        assert len(scaling(*other)(listed, NOTHING)) == 0


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"minAvailable": 1}, {"minAvailable": 1, "maxUnavailable": None}),
        ({"maxUnavailable": "50%"}, {"minAvailable": None, "maxUnavailable": "50%"}),
        ({"selector": {}}, {"labelSelector": {}}),
    ],
)
def test_budgets(spec: Json, shown: Json) -> None:
    disrupted = {"disruptedPods": {"a": "2026-01-01T00:00:00Z"}}
    found = {"metadata": meta("b"), "spec": spec, "status": disrupted}
    row: dict[str, Any] = msgspec.to_builtins(row_of(BUDGETS, found, NOTHING))
    assert {key: row[key] for key in shown} == shown
    assert ("labelSelector" in row) is ("selector" in spec)
    assert (row["unhealthyPodEvictionPolicy"], row["expectedPods"]) == (None, 0)
    assert budget_detail(found) == disrupted
    assert budget_detail({}) == {"disruptedPods": {}}


def test_records_keep_no_templates() -> None:
    record = as_record(REPLICA_SETS.resource, replica_set("a", "b", replicas=3))
    assert (record.desired, record.spec.replicas, record.spec.template) == (3, None, None)
