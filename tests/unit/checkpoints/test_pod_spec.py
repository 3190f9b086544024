"""The pod that a restore makes: the author's words kept, the cluster's taken off."""

import copy
import json
from typing import Any

import pytest

from ksnap.checkpoints.pod_spec import Placement, RestoredContainer, host_of, restored_pod

SOURCE: dict[str, Any] = {
    "metadata": {
        "name": "cart-7d9c8f6b5d-x2x4z",
        "generateName": "cart-7d9c8f6b5d-",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "cart-7d9c8f6b5d", "controller": True}],
        "labels": {"app": "cart", "pod-template-hash": "7d9c8f6b5d"},
        "annotations": {"team": "shop", "cni.projectcalico.org/podIP": "10.0.0.1/32"},
        "managedFields": [{}],
    },
    "spec": {
        "nodeName": "node1",
        "nodeSelector": {"kubernetes.io/hostname": "node1", "disk": "fast"},
        "serviceAccountName": "cart",
        "serviceAccount": "cart",
        "priority": 0,
        "containers": [
            {
                "name": "cart",
                "image": "reg.example/cart:1",
                "env": [{"name": "A", "value": "b"}],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "kube-api-access-abcde", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                ],
            },
            {"name": "side", "image": "reg.example/side:1"},
        ],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "kube-api-access-abcde", "projected": {"sources": []}}],
        "tolerations": [
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
            {"key": "gpu", "operator": "Exists"},
        ],
    },
    "status": {"phase": "Running"},
}
IMAGE = "reg.example/snap/cart@sha256:" + "ab" * 32


def made(source: dict[str, Any] = SOURCE, **options: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "name": "copy",
        "namespace": "shop",
        "containers": [RestoredContainer("cart", "c1", IMAGE)],
        "placement": Placement(["node1", "node2"]),
        "job_id": "j1",
        "pull_secret": None,
        "engine": "image",
    }
    return restored_pod(source, **(arguments | options))


def test_nothing_of_the_sources_identity_is_left() -> None:
    pod = made()
    assert set(pod) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(pod["metadata"]) == {"name", "namespace", "labels", "annotations"}
    assert not {"nodeName", "priority"} & set(pod["spec"])


def test_a_permit_is_for_the_pod_that_it_was_made_for_and_is_never_copied() -> None:
    pod = made(engine="runtime", permits={"cart": "signed"})
    assert pod["metadata"]["annotations"]["permit.ksnap.dev/cart"] == "signed"
    for engine in ("runtime", "image"):
        again = made({**SOURCE, "metadata": {**SOURCE["metadata"], **pod["metadata"]}}, engine=engine)
        assert not [each for each in again["metadata"]["annotations"] if each.startswith("permit.ksnap.dev/")]


def test_the_runtime_engine_leaves_the_image_alone_and_asks_by_annotation() -> None:
    asked = made(SOURCE, engine="runtime")
    again = made({**SOURCE, "metadata": asked["metadata"], "spec": asked["spec"]})
    assert asked["spec"]["runtimeClassName"] == "ksnap"
    assert [each["image"] for each in asked["spec"]["containers"]] == [
        each["image"] for each in SOURCE["spec"]["containers"]
    ]
    assert asked["metadata"]["annotations"]["restore.ksnap.dev/cart"] == IMAGE
    assert "restore.ksnap.dev/cart" not in again["metadata"]["annotations"], "a wish is not handed on to a copy"


def test_no_controller_takes_the_pod_for_its_own() -> None:
    labels = made()["metadata"]["labels"]
    assert labels["app"] == "cart"
    assert "pod-template-hash" not in labels


def owned(kind: str, labels: dict[str, str], **options: Any) -> dict[str, Any]:
    """The metadata of a copy whose source had such a controller."""
    owner = {"kind": kind, "name": "cart", "controller": True}
    metadata = {**SOURCE["metadata"], "ownerReferences": [owner], "labels": labels}
    found: dict[str, Any] = made({**SOURCE, "metadata": metadata}, **options)["metadata"]
    return found


AUTHORS = {"app.kubernetes.io/name": "cart", "app.kubernetes.io/instance": "shop"}


@pytest.mark.parametrize(
    ("kind", "selected_by"),
    [
        ("ReplicaSet", "pod-template-hash"),
        ("ReplicaSet", "rollouts-pod-template-hash"),
        ("Job", "batch.kubernetes.io/controller-uid"),
    ],
)
def test_labels_stay_where_another_one_falls_out_of_the_selector(kind: str, selected_by: str) -> None:
    metadata = owned(kind, {**AUTHORS, selected_by: "1"})
    assert metadata["labels"] == {**AUTHORS, "ksnap.dev/created-by": "restore"}
    assert "ksnap.dev/source-labels" not in metadata["annotations"]


@pytest.mark.parametrize("kind", ["DaemonSet", "ReplicationController", "ReplicaSet", "Job", "CloneSet"])
def test_a_controller_whose_selector_may_be_any_label_finds_none(kind: str) -> None:
    metadata = owned(kind, {**AUTHORS, "controller-revision-hash": "1"})
    assert metadata["labels"] == {"ksnap.dev/created-by": "restore"}
    assert json.loads(metadata["annotations"]["ksnap.dev/source-labels"]) == AUTHORS


def test_a_stateful_set_takes_only_names_of_its_own() -> None:
    assert "app.kubernetes.io/name" in owned("StatefulSet", AUTHORS, name="cart-0-restored-a1")["labels"]
    assert "app.kubernetes.io/name" not in owned("StatefulSet", AUTHORS, name="cart-7")["labels"]


def test_a_pod_of_nobody_keeps_its_labels() -> None:
    metadata = {**SOURCE["metadata"], "ownerReferences": [], "labels": {"app": "cart"}}
    assert made({**SOURCE, "metadata": metadata})["metadata"]["labels"]["app"] == "cart"


def test_the_authors_own_token_stays_where_it_was() -> None:
    """Such pods have automountServiceAccountToken: false; CRIU looks for every mount of the frozen process."""
    mount = {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    volume = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    spec = {"containers": [{"name": "cart", "image": "i", "volumeMounts": [mount]}], "volumes": [volume]}
    kept = made({**SOURCE, "spec": spec})["spec"]
    assert (kept["volumes"], kept["containers"][0]["volumeMounts"]) == ([volume], [mount])


def test_a_checkpoint_image_is_pulled_where_the_sources_never_was() -> None:
    policies = [("cart", "Never"), ("side", "Never")]
    containers = [{"name": name, "image": "i", "imagePullPolicy": policy} for name, policy in policies]
    first, second = made({**SOURCE, "spec": {"containers": containers}})["spec"]["containers"]
    assert (first["imagePullPolicy"], second["imagePullPolicy"]) == ("IfNotPresent", "Never")
    containers[0]["imagePullPolicy"] = "Always"
    assert made({**SOURCE, "spec": {"containers": containers}})["spec"]["containers"][0]["imagePullPolicy"] == "Always"


def test_the_injected_token_volume_goes_and_the_authors_volumes_stay() -> None:
    spec = made()["spec"]
    assert [each["name"] for each in spec["volumes"]] == ["data"]
    assert [each["name"] for each in spec["containers"][0]["volumeMounts"]] == ["data"]


def test_only_containers_with_a_checkpoint_get_its_image() -> None:
    first, second = made()["spec"]["containers"]
    assert (first["image"], second["image"]) == (IMAGE, "reg.example/side:1")
    assert first["env"] == [{"name": "A", "value": "b"}]


def test_the_job_is_found_again_by_its_annotation() -> None:
    annotations = made()["metadata"]["annotations"]
    assert annotations == {"team": "shop", "ksnap.dev/job": "j1", "ksnap.dev/restored-from": "cart=c1"}


def test_each_able_node_is_an_alternative() -> None:
    spec = made()["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [each["matchFields"][0]["values"] for each in terms] == [["node1"], ["node2"]]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "node1", "disk": "fast"}


def test_a_node_of_the_users_choice_wins_over_the_sources_host() -> None:
    spec = made(placement=Placement(["node2"], chosen_by_user=True))["spec"]
    assert spec["nodeSelector"] == {"disk": "fast"}


def test_the_authors_affinity_is_tied_to_each_node() -> None:
    wanted = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    required = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}}
    source = {**SOURCE, "spec": {**SOURCE["spec"], "affinity": required}}
    pod = restored_pod(
        source,
        name="copy",
        namespace="shop",
        containers=[],
        placement=Placement(["node1", "node2"]),
        job_id="j1",
        pull_secret=None,
        engine="image",
    )
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [set(each) for each in terms["nodeSelectorTerms"]] == [{"matchExpressions", "matchFields"}] * 2


def test_default_tolerations_are_left_to_the_cluster() -> None:
    assert made()["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]


def test_an_account_of_another_namespace_is_not_named() -> None:
    spec = made(namespace="elsewhere", pull_secret="pull")["spec"]
    assert not {"serviceAccountName", "serviceAccount"} & set(spec)
    assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_the_source_is_left_as_it_was() -> None:
    before = repr(SOURCE)
    made(pull_secret="pull")
    assert repr(SOURCE) == before


def test_the_host_that_the_author_bound_it_to_is_known() -> None:
    assert host_of(SOURCE) == "node1"
    assert host_of({"spec": {"nodeName": "node1"}}) is None


def test_hooks_travel_to_the_restored_pod() -> None:
    source = copy.deepcopy(SOURCE)
    hooks = {"hooks.ksnap.dev/after-restore": "reseed", "hooks.ksnap.dev/before-freeze-timeout.cart": "5"}
    source["metadata"]["annotations"] |= hooks
    assert hooks.items() <= made(source)["metadata"]["annotations"].items()


def test_what_the_author_asks_of_the_runtime_travels_to_the_restored_pod() -> None:
    source = copy.deepcopy(SOURCE)
    asked = {"ksnap.dev/shm": "own", "ksnap.dev/io-uring": "allow"}
    source["metadata"]["annotations"] |= asked
    assert asked.items() <= made(source)["metadata"]["annotations"].items()
