"""What the node set-up takes for a starting pod, and for a rollout's end."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ksnap.agent.node_setup.api import starting_pods
from ksnap.agent.node_setup.uninstall import rolled_out

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def pod(name: str, *, age_s: float = 10, phase: str = "Pending", waiting: str | None = None) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    created = (NOW - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "status": {"phase": phase, "containerStatuses": [{"state": state}]},
    }


def starting(*pods: dict[str, Any]) -> list[str]:
    return starting_pods({"items": list(pods)}, "own", now=NOW)


def test_a_pod_whose_container_is_being_made_is_starting() -> None:
    assert starting(pod("cart", waiting="ContainerCreating")) == ["shop/cart"]


def test_a_pod_that_nothing_was_done_for_yet_is_starting() -> None:
    new = pod("cart")
    new["status"] = {"phase": "Pending"}
    assert starting(new) == ["shop/cart"]


def test_running_ended_stuck_and_own_pods_are_not() -> None:
    assert not starting(
        pod("runs", phase="Running"),
        pod("ended", phase="Succeeded", waiting="ContainerCreating"),
        pod("pulls", waiting="ImagePullBackOff"),
        pod("stuck", age_s=3600, waiting="ContainerCreating"),
        pod("own", waiting="PodInitializing"),
    )


def test_a_pod_whose_init_container_fails_is_not() -> None:
    crashing = pod("crashing", waiting="PodInitializing")
    crashing["status"]["initContainerStatuses"] = [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert not starting(crashing)


def test_a_rollout_has_ended_when_the_newest_template_is_ready_everywhere() -> None:
    def daemonset(*, generation: int = 2, updated: int = 3, ready: int = 3) -> dict[str, Any]:
        status = {
            "observedGeneration": generation,
            "desiredNumberScheduled": 3,
            "updatedNumberScheduled": updated,
            "numberReady": ready,
        }
        return {"metadata": {"generation": 2}, "status": status}

    assert rolled_out(daemonset())
    assert not rolled_out(daemonset(generation=1))
    assert not rolled_out(daemonset(updated=2))
    assert not rolled_out(daemonset(ready=2))
