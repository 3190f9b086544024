"""Objects as files."""

import io
import json
import tarfile
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.export import Format, cleaned, export_many, export_one, format_of
from ksnap.errors import InvalidInput

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "managedFields": [{"manager": "kubectl"}]},
    "spec": {"containers": [{"name": "app"}]},
}
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "key",
        "namespace": "shop",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"k":"aHVzaA=="}}', "a": "b"},
    },
    "data": {"k": "aHVzaA=="},
    "type": "Opaque",
}


def test_yaml_of_one_object() -> None:
    export = export_one(POD, Format.YAML)
    assert (export.name, export.media_type) == ("pod-web.yaml", "text/plain; charset=utf-8")
    assert export.body.decode() == (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  containers:\n  - name: app\n"
    )
    assert "managedFields" in POD["metadata"], "the object itself was changed"


def test_json_of_one_object() -> None:
    export = export_one(POD, Format.JSON)
    assert export.name == "pod-web.json"
    assert json.loads(export.body) == cleaned(POD)


@pytest.mark.parametrize("form", [Format.YAML, Format.JSON])
def test_what_a_secret_holds_is_left_out(form: Format) -> None:
    body = export_one(SECRET, form).body
    assert b"aHVzaA" not in body
    found = yaml.safe_load(body)
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["type"] == "Opaque"
    assert "data" not in found


def test_what_a_secret_holds_is_exported_if_asked_for() -> None:
    assert yaml.safe_load(export_one(SECRET, Format.YAML, show_secrets=True).body) == SECRET


def test_a_list_of_secrets_holds_nothing_either() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [SECRET, POD]}
    body = export_one(listed, Format.YAML).body
    assert b"aHVzaA" not in body
    assert b"managedFields" not in body


def test_items_of_a_list_are_what_it_says() -> None:
    bare = {name: value for name, value in SECRET.items() if name not in {"kind", "apiVersion"}}
    listed = {"apiVersion": "v1", "kind": "SecretList", "items": [bare]}
    found = json.loads(export_one(listed, Format.JSON).body)
    assert found["items"][0]["kind"] == "Secret"
    assert "data" not in found["items"][0]


def test_several_documents() -> None:
    export = export_many([POD, SECRET], Format.YAML, stem="selection")
    assert export.name == "selection.yaml"
    assert [each["kind"] for each in yaml.safe_load_all(export.body)] == ["Pod", "Secret"]


def test_several_as_a_list() -> None:
    found = json.loads(export_many([POD, SECRET], Format.JSON, stem="selection").body)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == [cleaned(POD), cleaned(SECRET)]


def test_several_as_a_tar() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}}
    export = export_many([POD, role], Format.TAR, stem="selection")
    with tarfile.open(fileobj=io.BytesIO(export.body)) as archive:
        assert archive.getnames() == [
            "shop/pod-web.yaml",
            "cluster/clusterrole.rbac.authorization.k8s.io-system:x.yaml",
        ]
        member = archive.extractfile("shop/pod-web.yaml")
        assert member is not None
        assert yaml.safe_load(member.read()) == cleaned(POD)


def test_formats() -> None:
    assert format_of("yaml") is Format.YAML
    assert format_of("tar", several=True) is Format.TAR
    for word in ("tar", "YAML", "", "x" * 500):
        with pytest.raises(InvalidInput, match="yaml, json"):
            format_of(word)


@pytest.mark.parametrize(
    "text",
    ["y", "N", "1e3", "0o17", "0b1", "1_000", "12:30:45", "null", "~", "", "yes", "0x1F", ".5", "-", "1.", "=", "."],
)
def test_texts_that_look_like_something_else_are_quoted(text: str) -> None:
    body = export_one({"kind": "ConfigMap", "data": {"k": text}}, Format.YAML).body
    assert f"k: '{text}'".encode() in body


def test_texts_of_several_lines_are_blocks() -> None:
    body = export_one({"kind": "ConfigMap", "data": {"k": "a: 1\nb: 2\n"}}, Format.YAML).body
    assert b"  k: |\n    a: 1\n    b: 2\n" in body


_scalars = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")) | st.floats(allow_nan=False)
)
_objects = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), _objects, max_size=4))
def test_yaml_says_what_the_object_says(spec: dict[str, Any]) -> None:
    found = {"kind": "Thing", "spec": spec}
    assert yaml.safe_load(export_one(found, Format.YAML).body) == found
