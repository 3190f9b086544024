"""Which pods a watcher freezes: literals for each rule, and what holds of all pods."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.kinds.cluster.nodes import Node
from ksnap.dashboard.kinds.pods import Pod
from ksnap.kube.watch.strings import Strings
from ksnap.watchers.definition import NO_OPTIONS, Definition, Options, Scope
from ksnap.watchers.rules import containers, controller_of, cordon_of, look, unfit

SNAP, ALIAS = "ksnap.dev/snap", "snap.weaversoft.io/snap"
WATCHER = Definition("w", "prod")


def pod_json(
    labels: dict[str, str] | None = None, *, namespace: str = "shop", ready: str = "True", **more: Any
) -> dict[str, Any]:
    metadata = {"name": "web-0", "namespace": namespace, "uid": "u1", "labels": {SNAP: "true"} | (labels or {})}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "web", "ready": True, "started": True, "state": {"running": {}}}],
    }
    return {
        "metadata": metadata | more.pop("metadata", {}),
        "spec": {"containers": [{"name": "web"}, {"name": "side"}]},
        "status": status | more,
    }


def record(pod: dict[str, Any]) -> Pod:
    found = msgspec.json.decode(json.dumps(pod), type=Pod)
    found.settle(Strings())
    return found


def said(pod: dict[str, Any], watcher: Definition = WATCHER) -> tuple[bool, str]:
    found = look(record(pod), watcher, own_namespace="ksnap")
    return found.may, found.why


def test_a_ready_pod_with_the_label_is_frozen() -> None:
    assert said(pod_json()) == (True, "")
    assert said(pod_json({SNAP: "false", ALIAS: "true"})) == (True, "")


def test_one_that_did_not_ask_is_left_without_a_word() -> None:
    pod = pod_json()
    del pod["metadata"]["labels"][SNAP]
    assert said(pod) == (False, "")


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (pod_json({SNAP: "false"}), "has not the value true"),
        (pod_json({SNAP: ""}), "has not the value true"),
        (pod_json({"ksnap.dev/mutated": "true"}), "starts from a checkpoint"),
        (pod_json({"snap.weaversoft.io/mutated": ""}), "starts from a checkpoint"),
        (pod_json(namespace="kube-system"), "never frozen"),
        (pod_json(namespace="ksnap"), "never frozen"),
        (pod_json(ready="False"), "not Ready"),
        (pod_json(phase="Pending"), "not Ready"),
        (pod_json(phase="Succeeded"), "has ended"),
        (pod_json(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "being deleted"),
    ],
)
def test_why_not(pod: dict[str, Any], why: str) -> None:
    may, told = said(pod)
    assert not may
    assert why in told


def test_scope_and_selector_leave_others_without_a_word() -> None:
    one = Definition("w", "prod", scope=Scope.NAMESPACE, namespace="shop")
    assert said(pod_json(), one) == (True, "")
    assert said(pod_json(namespace="other"), one) == (False, "")
    # A namespace that is given with scope cluster is no filter (contract, section 3.6).
    assert said(pod_json(namespace="other"), Definition("w", "prod", namespace="shop")) == (True, "")
    picky = Definition("w", "prod", options=Options({"tier": "web"}))
    assert said(pod_json(), picky) == (False, "")
    assert said(pod_json({"tier": "web"}), picky) == (True, "")


def test_containers() -> None:
    pod = pod_json()
    assert containers(pod, WATCHER) == ["web"]
    pod["metadata"]["annotations"] = {"ksnap.dev/containers": "side, web, none"}
    assert containers(pod, WATCHER) == ["web", "side"]
    assert containers(pod, Definition("w", "prod", options=Options({}, containers=("side", "other")))) == ["side"]
    assert containers(pod, Definition("w", "prod", options=Options({}, containers=("other",)))) == []


def test_the_container_itself_must_have_started() -> None:
    assert unfit(pod_json(), "web") == ""
    assert "has no status" in unfit(pod_json(), "side")
    status = {"name": "web", "ready": True, "started": False, "state": {"running": {}}}
    assert "has not started" in unfit(pod_json(containerStatuses=[status]), "web")
    assert "is not running" in unfit(pod_json(containerStatuses=[status | {"state": {"waiting": {}}}]), "web")
    assert "not Ready" in unfit(pod_json(ready="False"), "web")
    assert "being deleted" in unfit(pod_json(metadata={"deletionTimestamp": "x"}), "web")


def test_who_makes_it_again() -> None:
    assert controller_of(pod_json()) == ""
    owner = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
    assert controller_of(pod_json(metadata={"ownerReferences": [owner]})) == "ReplicaSet/web-1"
    assert controller_of(pod_json(metadata={"ownerReferences": [owner | {"controller": False}]})) == ""


@given(
    labels=st.dictionaries(st.sampled_from([SNAP, ALIAS, "ksnap.dev/mutated"]), st.sampled_from(["true", "false", ""])),
    namespace=st.sampled_from(["shop", "kube-system", "ksnap"]),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    ready=st.sampled_from(["True", "False"]),
)
def test_none_is_frozen_that_did_not_say_true(labels: dict[str, str], namespace: str, phase: str, ready: str) -> None:
    pod = pod_json(namespace=namespace, ready=ready, phase=phase)
    pod["metadata"]["labels"] = labels
    may, why = said(pod)
    wanted = "true" in {labels.get(SNAP), labels.get(ALIAS)} and "ksnap.dev/mutated" not in labels
    assert may == (wanted and namespace == "shop" and phase == "Running" and ready == "True")
    asked = SNAP in labels or ALIAS in labels
    assert bool(why) == (asked and not may)


def node(*, cordoned: bool, taints: list[dict[str, str]]) -> Node:
    spec = {"unschedulable": cordoned, "taints": taints}
    return msgspec.json.decode(json.dumps({"metadata": {"name": "n1"}, "spec": spec}), type=Node)


def test_a_cordon_counts_from_its_taint_on() -> None:
    """So that every server, whenever it looks, finds the same occasion."""
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-28T12:00:00Z"}
    other = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "2026-11-28T11:00:00Z"}
    assert cordon_of(node(cordoned=True, taints=[other, taint])) == "drain/n1/2026-11-28T12:00:00Z"
    assert cordon_of(node(cordoned=True, taints=[other])) is None
    assert cordon_of(node(cordoned=False, taints=[other])) is None


def test_options_are_what_they_were_stored_as() -> None:
    assert NO_OPTIONS.stored()["warm_up"] is None
