"""What can be frozen, told from the pod as the API server answers it."""

import copy
from typing import Any

import pytest

from ksnap.checkpoints.plan import plan_capture, plan_key
from ksnap.errors import Conflict, InvalidInput, NotFound

DIGEST = "sha256:" + "ab" * 32
POD: dict[str, Any] = {
    "metadata": {"name": "cart-0", "namespace": "shop", "uid": "u-1", "labels": {"app": "cart"}},
    "spec": {"nodeName": "node1", "containers": [{"name": "cart", "image": "reg.example/cart:1"}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "cart",
                "containerID": "containerd://" + "c" * 64,
                "imageID": f"reg.example/cart@{DIGEST}",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
        ],
    },
}


def changed(**paths: Any) -> dict[str, Any]:
    """The pod with some members replaced; a path's dots are written as two underscores."""
    pod = copy.deepcopy(POD)
    for path, value in paths.items():
        *parents, last = path.split("__")
        place: Any = pod
        for each in parents:
            place = place[int(each)] if each.isdecimal() else place[each]
        place[last] = value
    return pod


def test_the_only_container_and_the_pods_own_node_need_no_naming() -> None:
    plan = plan_capture("prod", POD)
    assert (plan.cluster, plan.namespace, plan.pod, plan.pod_uid) == ("prod", "shop", "cart-0", "u-1")
    assert (plan.node, plan.container, plan.first_container) == ("node1", "cart", True)
    assert plan.container_id == "containerd://" + "c" * 64


def test_the_key_holds_the_digest_that_ran() -> None:
    key = plan_key(plan_capture("prod", POD), POD, architecture="amd64")
    assert (key.image, key.image_digest, key.app) == ("reg.example/cart:1", DIGEST, "cart")


def test_another_node_than_the_pods_is_invalid() -> None:
    with pytest.raises(InvalidInput) as caught:
        plan_capture("prod", POD, node="node2")
    assert caught.value.details.startswith("node_name: ")


def test_an_unknown_container_is_not_found() -> None:
    with pytest.raises(NotFound, match="Container not found"):
        plan_capture("prod", POD, container="other")


def test_one_of_several_containers_must_be_named() -> None:
    pod = changed(spec__containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "y"}])
    with pytest.raises(InvalidInput) as caught:
        plan_capture("prod", pod)
    assert "a, b" in caught.value.details


def test_a_second_container_is_not_the_first() -> None:
    two = [{"name": "side", "image": "x"}, *POD["spec"]["containers"]]
    assert not plan_capture("prod", changed(spec__containers=two), container="cart").first_container


@pytest.mark.parametrize(
    ("pod", "word"),
    [
        (changed(status__phase="Pending"), "Pending"),
        (changed(status__phase="Succeeded"), "Succeeded"),
        (changed(metadata__deletionTimestamp="2026-01-01T00:00:00Z"), "shop/cart-0"),
        (changed(spec__nodeName=None), "shop/cart-0"),
        (changed(status__containerStatuses__0__state={"terminated": {"reason": "Completed"}}), "Completed"),
        (changed(status__containerStatuses__0__state={"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff"),
        (changed(status__containerStatuses=[]), "not started"),
    ],
)
def test_what_does_not_run_is_a_conflict_that_says_why(pod: dict[str, Any], word: str) -> None:
    with pytest.raises(Conflict) as caught:
        plan_capture("prod", pod)
    assert word in caught.value.details
