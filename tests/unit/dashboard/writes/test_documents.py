"""Kubernetes objects out of a text: as Kubernetes reads it, and bounded."""

import pytest

from ksnap.dashboard.writes.documents import namespace_for, objects_in
from ksnap.errors import InvalidInput

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"


def test_several_documents_empty_ones_and_lists() -> None:
    listed = (
        'apiVersion: v1\nkind: List\nitems: [{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p"}}]'
    )
    found = objects_in(f"---\n{ONE}---\n---\n# nothing\n---\n{listed}\n")
    assert [each["kind"] for each in found] == ["ConfigMap", "Pod"]


def test_json_and_texts_that_look_like_times() -> None:
    found = objects_in('{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}}')
    assert found[0]["metadata"] == {"name": "a"}
    dated = objects_in(ONE + "data: {when: 2024-03-05, at: 2024-03-05T10:00:00Z}")[0]["data"]
    assert dated == {"when": "2024-03-05", "at": "2024-03-05T10:00:00Z"}


def test_anchors_are_taken() -> None:
    assert objects_in(ONE + "data: {a: &a x, b: *a}")[0]["data"] == {"a": "x", "b": "x"}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no object"),
        ("# only a word", "no object"),
        ("a: [", "line 2"),
        ("just a text", "document 1 is no object"),
        ("kind: Pod", "no apiVersion"),
        ("apiVersion: v1\nkind: Pod", "no name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: [1]}", "no text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: {}}", "no text"),
        (f"{ONE}---\n{ONE}1: 2\n", "no text"),
        (ONE + BOMB, "more than"),
        (ONE + "x: !!python/object/apply:os.getcwd []", "line 4"),
        ("a: &a [*a]", "more than"),
        ("\x00", "cannot be read"),
        ("---\n".join([ONE] * 1001), "1001 objects"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        objects_in(text)
    assert told in refused.value.details


@pytest.mark.parametrize(
    ("own", "asked", "namespaced", "result"),
    [
        ("", "ns", True, "ns"),
        ("ns", "ns", True, "ns"),
        ("own", "_all", True, "own"),
        ("own", "", True, "own"),
        ("", "ns", False, ""),
        ("own", "ns", True, "MSG_DEPLOY_NAMESPACE_MISMATCH_ERROR"),
        ("", "_all", True, "MSG_DEPLOY_EMPTY_NAMESPACE_ERROR"),
    ],
)
def test_where_an_object_goes(own: str, asked: str, result: str, *, namespaced: bool) -> None:
    found = {"metadata": {"name": "a", "namespace": own}}
    if result.startswith("MSG"):
        with pytest.raises(InvalidInput, match=result):
            namespace_for(found, asked, namespaced=namespaced)
    else:
        assert namespace_for(found, asked, namespaced=namespaced) == result
