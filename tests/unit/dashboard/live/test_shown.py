"""A reader that does as it is told has the page that a GET would answer."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.live.shown import Shown, difference, encode
from ksnap.dashboard.selection.properties import Property, text
from ksnap.dashboard.selection.query import Sort
from ksnap.kube.watch.records import Metadata, Record

LABEL: Property[Record] = text("label", lambda record: record.metadata.labels.get("label", ""))


def _record(name: str, label: str, shows: str) -> Record:
    return Record(Metadata(name=name, namespace="n", uid=name, labels={"label": label, "shows": shows}))


def _row(record: Record) -> dict[str, Any]:
    """The label that is sorted by is not part of it."""
    return {"objectMeta": {"name": record.metadata.name}, "shows": record.metadata.labels["shows"]}


def _applied(rows: list[dict[str, Any]], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the guide tells readers to."""
    rows = list(rows)
    for each in changes:
        name = each["object"]["objectMeta"]["name"]
        if each["type"] != "added":
            rows = [row for row in rows if row["objectMeta"]["name"] != name]
    for each in changes:
        if each["type"] != "deleted":
            rows.insert(each["index"], each["object"])
    return rows


pages = st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.sampled_from("123"), st.sampled_from("xy")))


@given(st.lists(pages, min_size=2, max_size=6), st.booleans())
def test_the_page_is_rebuilt_from_changes(contents: list[dict[str, tuple[str, str]]], descending: bool) -> None:  # noqa: FBT001
    shown: Shown[Record] = Shown()
    rows: list[dict[str, Any]] = []
    known: dict[str, Record] = {}
    for content in contents:
        records = [_record(name, label, shows) for name, (label, shows) in sorted(content.items())]
        records = [known[each.metadata.name] if known.get(each.metadata.name) == each else each for each in records]
        known = {each.metadata.name: each for each in records}
        page = sorted(records, key=LABEL.value, reverse=descending)
        anew = {
            each.key: encode(_row(each))
            for each in page
            if each.key not in shown.lines or shown.lines[each.key].record is not each
        }
        shown, told = difference(shown, page, anew, {}, [Sort(LABEL, descending)])
        decoded = msgspec.json.decode(encode(told))
        rows = _applied(rows, decoded.get("changes", []))
        assert rows == [_row(each) for each in page]


def test_what_looks_the_same_is_not_told() -> None:
    first, again = _record("a", "1", "x"), _record("a", "1", "x")
    shown, _ = difference(Shown(), [first], {first.key: encode(_row(first))}, {"listMeta": {"totalItems": 1}}, [])
    after, told = difference(shown, [again], {again.key: encode(_row(again))}, {"listMeta": {"totalItems": 1}}, [])
    assert told == {}
    assert after.id == shown.id
    _, told = difference(after, [], {}, {"listMeta": {"totalItems": 0}}, [])
    assert msgspec.json.decode(encode(told)) == {
        "changes": [{"type": "deleted", "object": {"objectMeta": {"name": "a", "namespace": "n", "uid": "a"}}}],
        "listMeta": {"totalItems": 0},
    }


def test_ids_tell_states_apart() -> None:
    a, b = _record("a", "1", "x"), _record("b", "1", "x")
    rows = {each.key: encode(_row(each)) for each in (a, b)}
    states = [
        difference(Shown(), page, rows, envelope, [])[0].id
        for page, envelope in (([a, b], {}), ([b, a], {}), ([a], {}), ([a, b], {"status": {"running": 1}}))
    ]
    assert len(set(states)) == len(states)
