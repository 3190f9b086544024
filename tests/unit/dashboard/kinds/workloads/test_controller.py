"""Who controls a pod."""

from ksnap.dashboard.kinds.common import Json
from ksnap.dashboard.kinds.pods import PODS
from ksnap.dashboard.kinds.workloads.controller import controller_row
from ksnap.dashboard.kinds.workloads.owners import Owner, controller_of
from tests.unit.dashboard.kinds.workloads.around import around, meta, pod, view

AROUND = around((PODS.resource, view(PODS.resource, pod("a", "r"), pod("b", "r", "Pending"))))
POD: Json = {"metadata": meta("a", "r")}


def reference(name: str, *, controller: bool = False) -> Json:
    return {"kind": "ReplicaSet", "name": name, "apiVersion": "apps/v1", "uid": name, "controller": controller}


def test_the_controller_comes_before_other_owners() -> None:
    both = {"metadata": {"ownerReferences": [reference("first"), reference("controls", controller=True)]}}
    assert controller_of(both) == reference("controls", controller=True)
    assert controller_of({"metadata": {"ownerReferences": [reference("first")]}}) == reference("first")
    assert controller_of({"metadata": {}}) is None


def test_a_workload_with_all_that_is_known_of_it() -> None:
    found: Json = {
        "metadata": meta("r"),
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "app:1"}]}}},
        "status": {"replicas": 2},
    }
    row = controller_row(Owner("ReplicaSet", "r", "apps/v1", "u-r", found), POD, AROUND)
    assert (row["objectMeta"]["name"], row["typeMeta"]) == ("r", {"kind": "replicaset", "scalable": True})
    assert (row["containerImages"], row["initContainerImages"]) == (("app:1",), ())
    assert {key: row["pods"][key] for key in ("current", "desired", "running", "pending")} == {
        "current": 2,
        "desired": 3,
        "running": 1,
        "pending": 1,
    }


def test_one_that_may_not_be_read_or_is_of_a_kind_of_its_own() -> None:
    for owner in (
        Owner("ReplicaSet", "r", "apps/v1", "u-r"),
        Owner("Rollout", "r", "example.dev/v1", "u-r", {"metadata": {"name": "r", "namespace": "n"}}),
    ):
        row = controller_row(owner, POD, AROUND)
        assert row["objectMeta"] == {"name": "r", "namespace": "n", "creationTimestamp": None, "uid": "u-r"}
        assert row["typeMeta"] == {"kind": owner.kind.lower()}
        assert (row["pods"]["current"], row["pods"]["running"], "desired" in row["pods"]) == (2, 1, False)
        assert row["containerImages"] == []


def test_a_node_that_runs_a_pod_of_its_own_is_in_no_namespace() -> None:
    row = controller_row(Owner("Node", "n1", "v1", "x"), POD, AROUND)
    assert row["objectMeta"] == {"name": "n1", "creationTimestamp": None, "uid": "x"}


def test_rows_of_the_chain() -> None:
    row = {"kind": "Node", "name": "n1", "apiVersion": "v1", "uid": "x"}
    assert Owner("Node", "n1", "v1", "x").row == row
    assert Owner("Node", "n1", "v1", "x", {"metadata": {"namespace": "n"}}).row == {**row, "namespace": "n"}
