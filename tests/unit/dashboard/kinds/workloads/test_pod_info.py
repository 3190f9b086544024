"""Pods of workloads, counted."""

from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.kinds.workloads.deployments import DEPLOYMENTS
from ksnap.dashboard.kinds.workloads.pod_info import pod_info, pods_of
from ksnap.dashboard.kinds.workloads.replicated import REPLICA_SETS
from tests.unit.dashboard.kinds.workloads.around import around, meta, pod, view, warning

EVERYTHING = (
    pod("fine", "one"),
    pod("starting", "one", "Pending", ready=False),
    pod("broken", "two", "Pending", ready=False),
    pod("unready", "two", ready=False),
    pod("done", "three", "Succeeded", ready=False),
    pod("lost", "three", "Failed", ready=False),
    pod("guest", "one", controller=False),
    pod("free", ""),
)
WARNINGS = (
    warning("broken", "BackOff", "2026-01-01T00:00:01Z"),
    warning("broken", "BackOff", "2026-01-01T00:00:02Z"),
    warning("broken", "Failed"),
    warning("fine"),
    warning("done"),
)
SETS = tuple(
    {"metadata": meta(name, owner)} for name, owner in (("one", "a"), ("two", "a"), ("three", "b"), ("four", "c"))
)
AROUND = around(
    (PODS.resource, view(PODS.resource, *EVERYTHING)),
    (EVENTS.resource, view(EVENTS.resource, *WARNINGS)),
    (REPLICA_SETS.resource, view(REPLICA_SETS.resource, *SETS)),
)


def test_pods_belong_to_who_controls_them() -> None:
    assert {each.metadata.name for each in pods_of("u-one", AROUND)} == {"fine", "starting"}
    assert pods_of("u-none", AROUND) == []
    assert pods_of("", AROUND) == []


def test_pods_are_counted_by_phase_and_warned_about_once_a_reason() -> None:
    info = pod_info(2, 3, pods_of("u-two", AROUND), AROUND)
    assert info == {
        "current": 2,
        "desired": 3,
        "running": 1,
        "pending": 1,
        "failed": 0,
        "succeeded": 0,
        "warnings": [
            {"message": "Failed at 2026-01-01T00:00:00Z", "reason": "Failed", "type": "Warning"},
            {"message": "BackOff at 2026-01-01T00:00:02Z", "reason": "BackOff", "type": "Warning"},
        ],
    }


def test_warnings_about_pods_that_are_well_are_history() -> None:
    assert pod_info(0, None, pods_of("u-one", AROUND), AROUND)["warnings"] == []
    ended = pod_info(0, None, pods_of("u-three", AROUND), AROUND)
    assert (ended["succeeded"], ended["failed"], ended["warnings"]) == (1, 1, [])
    assert "desired" not in ended


def test_status_of_a_list_of_what_controls_pods() -> None:
    assert REPLICA_SETS.status is not None
    sets = view(REPLICA_SETS.resource, *SETS)
    assert REPLICA_SETS.status(sets, AROUND) == {"running": 2, "pending": 1, "failed": 1}


def test_status_of_deployments_goes_through_their_replica_sets() -> None:
    assert DEPLOYMENTS.status is not None
    listed = view(DEPLOYMENTS.resource, *({"metadata": meta(name)} for name in "abc"))
    assert DEPLOYMENTS.status(listed, AROUND) == {"running": 2, "pending": 0, "failed": 1}


def test_status_counts_only_what_the_caller_sees() -> None:
    assert REPLICA_SETS.status is not None
    nothing = view(REPLICA_SETS.resource, *SETS, namespaces=frozenset())
    assert REPLICA_SETS.status(nothing, AROUND) == {"running": 0, "pending": 0, "failed": 0}
    unseen = around((PODS.resource, view(PODS.resource, *EVERYTHING, namespaces=frozenset({"other"}))))
    listed = view(REPLICA_SETS.resource, *SETS)
    assert REPLICA_SETS.status(listed, unseen) == {"running": 4, "pending": 0, "failed": 0}


def test_metrics_are_of_the_pods_behind() -> None:
    assert DEPLOYMENTS.metered is not None
    listed = view(DEPLOYMENTS.resource, {"metadata": meta("a")})
    found = DEPLOYMENTS.metered.names(listed, AROUND)
    assert set(found) == {("n", name) for name in ("fine", "starting", "broken", "unready")}
