"""The list of pods: what is left of a record, what is counted, what a row shows."""

import json
from typing import Any

import msgspec

from ksnap.dashboard.kinds.events import EVENTS
from ksnap.dashboard.kinds.pod_wire import PodSpec, PodStatus
from ksnap.dashboard.kinds.pods import PODS, Pod, count_by_standing
from ksnap.dashboard.metrics.points import MetricPoint
from ksnap.dashboard.selection.metrics import Usage
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.strings import Strings

PODS_DECODER = Decoder(PODS.resource, Strings())
EVENTS_DECODER = Decoder(EVENTS.resource, Strings())


def pod(name: str, namespace: str = "n", *, phase: str = "Running", ready: bool = True, **metadata: Any) -> Pod:
    conditions = [{"type": "Ready", "status": str(ready)}, {"type": "Initialized", "status": "True"}]
    state = {"running": {}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    return PODS_DECODER.record(
        json.dumps(
            {
                "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", **metadata},
                "spec": {"nodeName": "one", "containers": [{"name": "main", "image": "web:1"}]},
                "status": {
                    "phase": phase,
                    "conditions": conditions,
                    "containerStatuses": [{"name": "main", "ready": ready, "restartCount": 2, "state": state}],
                },
            }
        ).encode()
    )


def warning(of: str, name: str = "w") -> Record:
    involved = {"kind": "Pod", "namespace": "n", "name": of, "uid": f"uid-{of}"}
    found = {
        "metadata": {"name": name, "namespace": "n"},
        "involvedObject": involved,
        "type": "Warning",
        "reason": "Bad",
    }
    return EVENTS_DECODER.record(json.dumps(found).encode())


def around(pods: list[Pod], events: list[Any], namespaces: frozenset[str] | None = None) -> Around:
    seen: View[Any] = View(None, namespaces)
    told: View[Any] = View(None, None)
    for view, records in ((seen, pods), (told, events)):
        for each in records:
            view.objects.put(each)
    return Around("c", {PODS.resource: seen, EVENTS.resource: told})


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
SOME = [
    pod("fine"),
    pod("warned-but-fine"),
    pod("crashing", ready=False),
    pod("starting", phase="Pending", ready=False),
    pod("done", phase="Succeeded", ready=False),
    pod("broken", phase="Failed", ready=False),
    pod("leaving", ready=False, **DELETED),
    pod("elsewhere", "other"),
]


def test_counts() -> None:
    """A pod that is not ready is failed if there are warnings about it; one that is ready never."""
    found = around(SOME, [warning("crashing"), warning("warned-but-fine", "v")])
    assert count_by_standing(found.view(PODS.resource), found) == {
        "running": 3,
        "pending": 1,
        "failed": 2,
        "succeeded": 1,
        "terminating": 1,
    }


def test_counts_of_some_namespaces() -> None:
    found = around(SOME, [], frozenset({"other"}))
    counted = count_by_standing(found.view(PODS.resource), found)
    assert (counted["running"], sum(counted.values())) == (1, 1)


def test_a_row() -> None:
    found = around(SOME, [warning("crashing")])
    row = msgspec.to_builtins(PODS.full_row(SOME[2], found))
    assert row == {
        "objectMeta": {"name": "crashing", "namespace": "n", "creationTimestamp": None, "uid": "uid-crashing"},
        "typeMeta": {"kind": "pod"},
        "status": "CrashLoopBackOff",
        "restartCount": 2,
        "metrics": None,
        "warnings": [{"message": "", "reason": "Bad", "type": "Warning"}],
        "nodeName": "one",
        "containerImages": ("web:1",),
        "containerStatuses": ({"name": "main", "state": "Waiting", "ready": False},),
        "allocatedResources": {
            "cpuRequests": 0,
            "cpuLimits": 0,
            "memoryRequests": 0,
            "memoryLimits": 0,
            "gpuRequests": (),
            "gpuLimits": (),
        },
    }


def test_a_row_with_metrics() -> None:
    found = around(SOME, [])
    found.usage = {("pod", ("n", "fine")): Usage(250, 1 << 20, (MetricPoint("2026-01-01T00:00:00Z", 200),), ())}
    assert msgspec.to_builtins(PODS.full_row(SOME[0], found)["metrics"]) == {
        "cpuUsage": 250,
        "memoryUsage": 1 << 20,
        "cpuUsageHistory": [{"timestamp": "2026-01-01T00:00:00Z", "value": 200}],
        "memoryUsageHistory": [],
    }


def test_what_was_read_is_dropped() -> None:
    assert (SOME[0].spec, SOME[0].status) == (PodSpec(), PodStatus())
    assert SOME[0].images is SOME[1].images
