"""What a hook does with a pod, and that a patch applied twice changes nothing more."""

import copy
import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

import pytest

from ksnap.errors import InvalidInput
from ksnap.hooks.decision import Decision, Known, Places, decide
from ksnap.hooks.nodes import Node, allowed_nodes
from ksnap.hooks.review import answer, parse_review
from ksnap.model.checkpoint_key import Slot, checkpoint_key

DIGEST = "sha256:" + "1" * 64
IMAGE = f"registry.example/snap/c-shop-web@{DIGEST}"
RUNTIME = Node("a", {"ksnap.dev/restore": "runtime", "zone": "x"}, is_schedulable=True, architecture="x86_64")
ALSO = Node("b", {"ksnap.dev/restore": "runtime", "zone": "y"}, is_schedulable=True, architecture="x86_64")
IMAGES = Node("i", {"zone": "z"}, is_schedulable=True, restores_images=True, architecture="x86_64")
NEITHER = Node("n", {"ksnap.dev/restore": "none", "zone": "w"}, is_schedulable=True, architecture="x86_64")


@dataclass
class Memory:
    """A catalog with one answer; remembers what it was asked."""

    known: Known | str = field(default_factory=lambda: Known("0a", IMAGE, "web:1"))
    asked: list[Slot] = field(default_factory=list)

    def find(self, slot: Slot) -> Known | str:
        self.asked.append(slot)
        return self.known


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "generateName": "web-5d7-",
            "labels": {"app": "web", "pod-template-hash": "5d7", "ksnap.dev/snap": "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d7", "controller": True}],
        },
        "spec": {"containers": [{"name": "app", "image": "web:1"}, {"name": "side", "image": "side:1"}], **spec},
    }


def decided(wanted: dict[str, Any], *nodes: Node, catalog: Memory | None = None) -> Decision:
    return decide("c", "shop", wanted, catalog or Memory(), Places(nodes or (RUNTIME, ALSO)))


def patched(wanted: dict[str, Any], decision: Decision) -> dict[str, Any]:
    """RFC 6902, as far as `add` and `replace` of members and elements go."""
    done = copy.deepcopy(wanted)
    for each in decision.patch:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:]]
        place: Any = done
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            assert (each["op"], last) == ("add", "-")
            place.append(each["value"])
        else:
            assert each["op"] == "add" or last in place
            place[last] = each["value"]
    return done


def test_a_pod_gets_the_class_and_a_wish_and_keeps_its_image() -> None:
    decision = decided(pod())
    done = patched(pod(), decision)
    assert done["spec"]["runtimeClassName"] == "ksnap"
    assert done["spec"]["containers"] == pod()["spec"]["containers"]
    assert done["metadata"]["annotations"] == {
        "restore.ksnap.dev/app": IMAGE,
        "original-image.ksnap.dev/app": "web:1",
        "checkpoint.ksnap.dev/app": "0a",
    }
    assert done["metadata"]["labels"]["ksnap.dev/mutated"] == "true"
    assert (decision.engine, list(decision.restored)) == ("runtime", ["app"])


def test_a_second_look_changes_nothing() -> None:
    once = patched(pod(), decided(pod()))
    assert decided(once).patch == []


def test_annotations_that_are_there_stay() -> None:
    wanted = pod()
    wanted["metadata"]["annotations"] = {"a/b": "c", "ksnap.dev/containers": "side, app, none"}
    done = patched(wanted, decided(wanted))
    assert done["metadata"]["annotations"]["a/b"] == "c"
    assert {"restore.ksnap.dev/app", "restore.ksnap.dev/side"} <= set(done["metadata"]["annotations"])


@pytest.mark.parametrize("label", ["ksnap.dev/snap", "snap.weaversoft.io/snap"])
@pytest.mark.parametrize(("value", "patches"), [("true", True), ("false", False), ("", False)])
def test_the_value_of_the_label_counts(label: str, value: str, *, patches: bool) -> None:
    wanted = pod()
    del wanted["metadata"]["labels"]["ksnap.dev/snap"]
    wanted["metadata"]["labels"][label] = value
    assert bool(decided(wanted).patch) is patches


def test_the_slot_is_that_of_the_key_of_the_pod_once_it_has_run() -> None:
    """Also for a pod that was restored: what the hook and the class add is no part of the key."""
    memory = Memory()
    decided(pod(), catalog=memory)
    status = {"containerStatuses": [{"name": "app", "imageID": f"r/web@{DIGEST}"}]}
    ran = patched(pod(), decided(pod())) | {"status": status}
    ran["metadata"] |= {"namespace": "shop", "name": "web-5d7-x1"}
    ran["spec"] |= {"nodeName": "a", "nodeSelector": {"ksnap.dev/restore": "runtime"}}
    assert checkpoint_key("c", ran, "app", architecture="x86_64").slot == memory.asked[0]


def test_the_slot_of_a_bare_pod_is_the_same_before_and_after() -> None:
    memory = Memory()
    bare: dict[str, Any] = {
        "metadata": {"name": "one", "labels": {"ksnap.dev/snap": "true"}},
        "spec": {"containers": [{"name": "app", "image": "web:1"}]},
    }
    decided(bare, catalog=memory)
    ran = patched(bare, decided(bare)) | {"status": {"containerStatuses": [{"name": "app", "imageID": DIGEST}]}}
    ran["metadata"]["namespace"] = "shop"
    ran["spec"] |= {"nodeName": "a", "nodeSelector": {"ksnap.dev/restore": "runtime"}, "tolerations": [{"key": "x"}]}
    assert checkpoint_key("c", ran, "app", architecture="x86_64").slot == memory.asked[0]


def test_a_pod_that_no_key_could_name_is_left_alone() -> None:
    wanted = pod()
    del wanted["metadata"]["ownerReferences"]
    assert decided(wanted).patch == []


@pytest.mark.parametrize(
    ("nodes", "engine"),
    [
        ((RUNTIME, ALSO), "runtime"),
        ((IMAGES,), "image"),
        ((RUNTIME, NEITHER), None),
        ((RUNTIME, IMAGES), None),
        ((IMAGES, NEITHER), None),
        ((NEITHER,), None),
    ],
)
def test_only_where_every_node_can(nodes: tuple[Node, ...], engine: str | None) -> None:
    assert decided(pod(), *nodes).engine == engine


def test_nodes_that_the_pod_cannot_go_to_do_not_count() -> None:
    assert decided(pod(nodeSelector={"zone": "x"}), RUNTIME, NEITHER).engine == "runtime"
    term = {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["w"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert decided(pod(affinity=affinity), RUNTIME, NEITHER).engine == "runtime"
    cordoned = Node("n", {}, is_schedulable=False)
    assert decided(pod(), RUNTIME, cordoned).engine == "runtime"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ({"key": "zone", "operator": "In", "values": ["x", "y"]}, "ab"),
        ({"key": "zone", "operator": "Exists"}, "abin"),
        ({"key": "zone", "operator": "DoesNotExist"}, ""),
        ({"key": "zone", "operator": "Gt", "values": ["1"]}, ""),
        ({"key": "zone", "operator": "Later"}, ""),
    ],
)
def test_expressions(expression: dict[str, Any], names: str) -> None:
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    assert "".join(each.name for each in allowed_nodes(spec, (RUNTIME, ALSO, IMAGES, NEITHER))) == names


def test_an_image_takes_the_place_of_its_own_container_alone() -> None:
    wanted = pod(imagePullSecrets=[{"name": "own"}])
    decision = decide("c", "shop", wanted, Memory(), Places([IMAGES]), pull_secrets=["own", "snap"])
    done = patched(wanted, decision)
    assert [each["image"] for each in done["spec"]["containers"]] == [IMAGE, "side:1"]
    assert done["spec"]["imagePullSecrets"] == [{"name": "own"}, {"name": "snap"}]
    assert "runtimeClassName" not in done["spec"]
    assert done["metadata"]["annotations"]["original-image.ksnap.dev/app"] == "web:1"


def test_why_not_is_said() -> None:
    assert decided(pod(), catalog=Memory("no checkpoint")).reasons == {"app": "no checkpoint"}
    assert "runtime class of its own" in decided(pod(runtimeClassName="gvisor")).reasons["*"]
    other = Node("c", {"ksnap.dev/restore": "runtime"}, is_schedulable=True, architecture="aarch64")
    assert "architectures" in decided(pod(), RUNTIME, other).reasons["app"]


def test_a_review_is_answered() -> None:
    asked = {"uid": "u1", "operation": "CREATE", "namespace": "shop", "dryRun": True, "object": pod()}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}
    request = parse_review(json.dumps(body).encode())
    assert (request.uid, request.namespace, request.dry_run, request.object) == ("u1", "shop", True, pod())
    plain = json.loads(answer("u1", []))
    assert plain["response"] == {"uid": "u1", "allowed": True}
    full = json.loads(answer("u1", decided(pod()).patch))["response"]
    assert (full["allowed"], full["patchType"]) == (True, "JSONPatch")
    assert json.loads(b64decode(full["patch"])) == decided(pod()).patch


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"request": 1}', b'{"apiVersion": "v2", "request": {"uid": "u"}}']
)
def test_what_is_no_review_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_review(body)
