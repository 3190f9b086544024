"""Which kind a word means, out of what a cluster says that it has."""

from typing import Any

import pytest

from ksnap.dashboard.discovery import Kind, Kinds, parse_kinds
from ksnap.errors import InvalidInput


def resource(
    plural: str, kind: str, *, scope: str = "Namespaced", subresources: tuple[str, ...] = (), short: str = ""
) -> Any:
    subs = [{"subresource": each, "verbs": ["get"]} for each in subresources]
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": scope,
        "verbs": ["get", "list"],
        "singularResource": kind.lower(),
        "shortNames": [short] if short else [],
        **({"subresources": subs} if subs else {}),
    }


def document(*groups: tuple[str, dict[str, list[Any]]]) -> Any:
    items = [
        {"metadata": {"name": name}, "versions": [{"version": v, "resources": r} for v, r in versions.items()]}
        for name, versions in groups
    ]
    return {"kind": "APIGroupDiscoveryList", "items": items}


EVERYTHING = document(
    ("events.k8s.io", {"v1": [resource("events", "Event")]}),
    (
        "",
        {
            "v1": [
                resource("events", "Event"),
                resource("nodes", "Node", scope="Cluster", short="no"),
                resource("pods", "Pod", short="po"),
            ]
        },
    ),
    ("extensions.example", {"v1": [resource("ingresses", "Ingress")]}),
    ("a.example", {"v1": [resource("deployments", "Deployment")]}),
    ("networking.k8s.io", {"v1": [resource("ingresses", "Ingress")]}),
    ("apps", {"v1": [resource("deployments", "Deployment", subresources=("scale", "status"))]}),
    ("shop.example", {"v2": [resource("carts", "Cart")], "v1": [resource("carts", "Cart")]}),
    ("shop.example", {"v1": [resource("packets", "Packet", short="po"), resource("nos", "No")]}),
    ("broken.example", {"v1": []}),
)


def known(word: str) -> Kind:
    found = Kinds(parse_kinds(EVERYTHING)).named(word)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("word", "qualified"),
    [
        ("event", "events"),
        ("Event", "events"),
        ("events.events.k8s.io", "events.events.k8s.io"),
        ("ingress", "ingresses.networking.k8s.io"),
        ("ingresses.extensions.example", "ingresses.extensions.example"),
        ("deployment", "deployments.apps"),
        ("cart", "carts.shop.example"),
        ("pods", "pods"),
        ("PO", "pods"),
        ("po.shop.example", "packets.shop.example"),
        ("Cart.shop.example", "carts.shop.example"),
        ("packet", "packets.shop.example"),
        ("no", "nos.shop.example"),
    ],
)
def test_kubernetes_own_groups_come_first(word: str, qualified: str) -> None:
    assert known(word).qualified == qualified


@pytest.mark.parametrize("word", ["", "unknown", "carts.other.example"])
def test_what_is_no_kind(word: str) -> None:
    assert Kinds(parse_kinds(EVERYTHING)).named(word) is None


def test_versions_and_subresources() -> None:
    cart = known("cart")
    assert (cart.api_version, cart.versions, cart.is_built_in) == ("shop.example/v2", ("v2", "v1"), False)
    assert cart.path("ns", "a", version="v1") == "/apis/shop.example/v1/namespaces/ns/carts/a"
    assert known("deployment").subresources == {"scale", "status"}
    assert known("deployment").path("ns", "a", subresource="scale") == "/apis/apps/v1/namespaces/ns/deployments/a/scale"


def test_paths_and_scopes() -> None:
    node, pod = known("node"), known("pod")
    assert node.path(name="n/1") == "/api/v1/nodes/n%2F1"
    assert pod.path() == "/api/v1/pods"
    node.check_scope("")
    pod.check_scope("ns")
    for kind, namespace in ((node, "ns"), (pod, "")):
        with pytest.raises(InvalidInput):
            kind.check_scope(namespace)


@pytest.mark.parametrize(("namespace", "name"), [("ns", ".."), ("..", "a"), ("ns", ".")])
def test_a_name_that_would_lead_elsewhere(namespace: str, name: str) -> None:
    with pytest.raises(InvalidInput):
        known("pod").path(namespace, name)


def test_by_what_an_object_says() -> None:
    kinds = Kinds(parse_kinds(EVERYTHING))
    assert kinds.of("a.example", "Deployment") is not kinds.named("deployment")
    assert kinds.of("apps", "deployment") is None
