"""The API server's bytes to records."""

import json
from typing import Any

import msgspec
import pytest

from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.records import LAST_APPLIED, NOTHING, Part, Record
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class Spec(Part, frozen=True):
    node_name: str = ""
    ports: tuple[int, ...] = ()


class Thing(Record, frozen=True):
    spec: Spec = Spec()


class Sealed(Record, frozen=True):
    type: str = ""


THINGS = Resource("things", "Thing", Thing, group="example.dev")
SEALED = Resource("secrets", "Secret", Sealed, form="table")


def thing(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "resourceVersion": "7",
            "managedFields": [{"fieldsV1": {"f:x": {}}}],
            "labels": {"app": "web"},
            "annotations": {LAST_APPLIED: "{}", "kept": "1"},
        },
        "spec": spec,
    }


def page(*items: dict[str, Any], more: str = "") -> bytes:
    metadata = {"resourceVersion": "42", **({"continue": more} if more else {})}
    return json.dumps({"kind": "ThingList", "metadata": metadata, "items": items}).encode()


def test_a_page() -> None:
    decoder = Decoder(THINGS, Strings())
    metadata, records = decoder.page(page(thing("a", nodeName="one", ports=[1, 2]), thing("b"), more="token"))
    assert (metadata.resource_version, metadata.continue_) == ("42", "token")
    assert [each.metadata.name for each in records] == ["a", "b"]
    assert records[0].spec == Spec("one", (1, 2))
    assert records[0].metadata.annotations == {LAST_APPLIED: "{}", "kept": "1"}


def test_an_empty_list_of_golang() -> None:
    metadata, records = Decoder(THINGS, Strings()).page(b'{"metadata":{"resourceVersion":"1"},"items":null}')
    assert (metadata.continue_, records) == ("", [])


def test_equal_labels_are_one() -> None:
    _, records = Decoder(THINGS, Strings()).page(page(thing("a"), thing("b")))
    assert records[0].metadata.labels is records[1].metadata.labels
    assert records[0].metadata.namespace is records[1].metadata.namespace
    bare = Decoder(THINGS, Strings()).record(b'{"metadata":{"name":"c"}}')
    assert bare.metadata.labels is NOTHING


def test_one_strange_object_does_not_hide_the_others() -> None:
    decoder = Decoder(THINGS, Strings())
    _, records = decoder.page(page(thing("a", nodeName="one"), thing("b", ports="none"), thing("c", nodeName="two")))
    assert [(each.metadata.name, each.spec.node_name) for each in records] == [("a", "one"), ("b", ""), ("c", "two")]
    assert decoder.record(json.dumps(thing("d", ports="none")).encode()).metadata.name == "d"


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"items":[', b'{"items":3}', b'"x"', b"[]"])
def test_what_is_no_list(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Decoder(THINGS, Strings()).page(content)


def test_events() -> None:
    decoder = Decoder(THINGS, Strings())
    kind, subject = decoder.event(json.dumps({"type": "ADDED", "object": thing("a", nodeName="one")}).encode())
    assert (kind, decoder.record(subject).spec.node_name) == ("ADDED", "one")
    kind, subject = decoder.event(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"99"}}}')
    assert (kind, decoder.version(subject)) == ("BOOKMARK", "99")
    kind, subject = decoder.event(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}')
    assert (kind, decoder.status(subject).code) == ("ERROR", 410)


def table(*rows: tuple[str, str], columns: bool = True) -> bytes:
    names = [{"name": "Name"}, {"name": "Type"}, {"name": "Data"}] if columns else None
    found = [
        {"cells": [name, kind, 1], "object": {"metadata": {"name": name, "annotations": {LAST_APPLIED: "secret"}}}}
        for name, kind in rows
    ]
    return json.dumps(
        {"kind": "Table", "metadata": {"resourceVersion": "5"}, "columnDefinitions": names, "rows": found}
    ).encode()


def test_a_table() -> None:
    decoder = Decoder(SEALED, Strings())
    metadata, records = decoder.page(table(("a", "Opaque"), ("b", "helm.sh/release.v1")))
    assert metadata.resource_version == "5"
    assert [(each.metadata.name, each.type) for each in records] == [("a", "Opaque"), ("b", "helm.sh/release.v1")]
    later = decoder.record(table(("c", "Opaque"), columns=False))
    assert (later.metadata.name, later.type, later.metadata.annotations) == ("c", "Opaque", {})


def test_what_the_api_server_is_asked_for() -> None:
    assert SEALED.accept(watch=True) == "application/json;as=Table;g=meta.k8s.io;v=v1"
    config_maps = Resource("configmaps", "ConfigMap", Record, form="metadata")
    assert config_maps.accept(watch=False) == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert config_maps.accept(watch=True) == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert (THINGS.path(), THINGS.path("n", "a/b")) == (
        "/apis/example.dev/v1/things",
        "/apis/example.dev/v1/namespaces/n/things/a%2Fb",
    )
