"""Restored, cold, hopeless or merely slow: told from status, events and the runtime's record."""

from typing import Any

import pytest

from ksnap.checkpoints.restore_proof import prove, readiness, timings, why_not_ready
from ksnap.errors import RestoreFailed
from ksnap.node.protocol import ContainerEvidence

DIGEST = "sha256:" + "ab" * 32
BASE = "reg.example/cart:1"


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [{"name": "cart", "image": BASE, "imageID": "", "restartCount": 0, **(container or {})}]
    return {
        "metadata": {"name": "copy", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Running", "containerStatuses": statuses, **status},
    }


def proof(container: dict[str, Any] | None = None, *, says: bool = True) -> bool:
    evidence = ContainerEvidence(container_id="c", restored=says)
    return prove(
        "cart", "c1", pod=pod(container), original_image=BASE, original_digest=DIGEST, evidence=evidence
    ).restored


def test_a_restore_needs_all_three_proofs() -> None:
    assert proof()
    assert proof({"image": "sha256:0", "imageID": f"reg.example/cart@{DIGEST}"})
    assert not proof(says=False)
    assert not proof({"restartCount": 1})
    assert not proof({"image": "reg.example/snap/cart", "imageID": "reg.example/snap/cart@sha256:" + "0" * 64})


def test_a_pod_is_ready_when_its_condition_says_so() -> None:
    assert readiness(pod(conditions=[{"type": "Ready", "status": "True"}])) is True
    assert readiness(pod(conditions=[{"type": "Ready", "status": "False"}])) is None
    assert readiness({"metadata": {}, "spec": {}}) is None


@pytest.mark.parametrize(
    "container",
    [
        {"state": {"waiting": {"reason": "CreateContainerError", "message": "criu failed"}}},
        {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
        {"restartCount": 1, "lastState": {"terminated": {"reason": "Error", "exitCode": 139}}},
    ],
)
def test_what_time_does_not_cure_fails_at_once(container: dict[str, Any]) -> None:
    with pytest.raises(RestoreFailed):
        readiness(pod(container))


def test_a_first_failed_pull_is_waited_out() -> None:
    assert readiness(pod({"state": {"waiting": {"reason": "ErrImagePull"}}})) is None


def test_what_a_late_pod_waits_for_is_told() -> None:
    unscheduled = [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}]
    assert "0/2 nodes" in why_not_ready(pod(conditions=unscheduled))
    assert why_not_ready(pod({"state": {"running": {}}, "ready": False})) == "cart runs but is not ready"


def test_timings_are_the_clusters() -> None:
    ready = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:03Z"}]
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:02Z"}}}
    message = 'Successfully pulled image "reg.example/x" in 1m2.5s (1m3s including waiting). Image size: 1 bytes.'
    pulled = {"reason": "Pulled", "lastTimestamp": "2026-01-01T00:00:01Z", "message": message}
    assert timings(pod(running, conditions=ready), [pulled]) == {
        "created_at": "2026-01-01T00:00:00Z",
        "pulled_at": "2026-01-01T00:00:01Z",
        "started_at": "2026-01-01T00:00:02Z",
        "ready_at": "2026-01-01T00:00:03Z",
        "pull_s": 62.5,
    }
