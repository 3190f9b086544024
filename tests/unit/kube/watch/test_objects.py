"""The records of a cache: indexes and orders keep up, changes are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.kube.watch.objects import Index, Objects, Order
from ksnap.kube.watch.records import Metadata, Record

BY_APP: Index[Record] = Index("app", lambda record: record.metadata.labels.values())
BY_AGE: Order[Record] = Order("age", lambda record: record.metadata.creation_timestamp or "")


def record(name: str, version: str = "1", *, app: str = "web", created: str = "") -> Record:
    return Record(
        Metadata(
            name=name,
            namespace="n",
            uid=name,
            resource_version=version,
            labels={"app": app},
            creation_timestamp=created,
        )
    )


def test_changes_are_told() -> None:
    objects: Objects[Record] = Objects()
    first, second = record("a"), record("a", "2")
    added, same, modified = objects.put(first), objects.put(record("a")), objects.put(second)
    assert added is not None
    assert (added.type, added.old, added.new) == ("added", None, first)
    assert same is None
    assert modified is not None
    assert (modified.type, modified.old, modified.new) == ("modified", first, second)
    deleted = objects.remove(("n", "a"), record("a", "3"))
    assert deleted is not None
    assert deleted.record.metadata.resource_version == "3"
    assert objects.remove(("n", "a")) is None


def test_a_list_tells_the_difference_only() -> None:
    objects: Objects[Record] = Objects()
    objects.replace([record("a"), record("b"), record("c")])
    kept = objects.get("n", "a")
    changes = objects.replace([record("a"), record("b", "2"), record("d")])
    assert sorted((each.type, each.record.metadata.name) for each in changes) == [
        ("added", "d"),
        ("deleted", "c"),
        ("modified", "b"),
    ]
    assert objects.get("n", "a") is kept


def test_an_index_follows_its_records() -> None:
    objects: Objects[Record] = Objects()
    objects.put(record("a"))
    assert [each.key for each in objects.by(BY_APP, "web")] == [("n", "a")]
    objects.put(record("a", "2", app="api"))
    objects.put(record("b", app="api"))
    assert objects.by(BY_APP, "web") == []
    assert {each.metadata.name for each in objects.by(BY_APP, "api")} == {"a", "b"}
    objects.remove(("n", "a"))
    objects.remove(("n", "b"))
    assert objects.groups(BY_APP) == {}


steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "1", "2", "3"]), st.sampled_from(["x", "y"])), max_size=30
)


@given(steps)
def test_indexes_and_orders_are_as_if_made_anew(given_steps: list[tuple[str, str, str]]) -> None:
    objects: Objects[Record] = Objects()
    objects.sorted(BY_AGE)
    objects.groups(BY_APP)
    for number, (name, created, app) in enumerate(given_steps):
        if created:
            objects.put(record(name, str(number), app=app, created=created))
        else:
            objects.remove(("n", name))
    everything = list(objects)
    assert list(objects.sorted(BY_AGE)) == sorted(everything, key=BY_AGE.key)
    for app in "xy":
        assert {each.key for each in objects.by(BY_APP, app)} == {
            each.key for each in everything if each.metadata.labels["app"] == app
        }


def test_one_name_is_one_index() -> None:
    objects: Objects[Record] = Objects()
    objects.groups(BY_APP)
    with pytest.raises(ValueError, match="two Index objects of the name 'app'"):
        objects.groups(Index("app", lambda _: ()))
    objects.sorted(BY_AGE)
    with pytest.raises(ValueError, match="two Order objects of the name 'age'"):
        objects.sorted(Order("age", lambda _: ""))
