"""Which rows a change beside a list may concern."""

from typing import Any

from ksnap.dashboard.kinds.events import EVENTS, Event, Involved
from ksnap.dashboard.kinds.pods import PODS, Pod
from ksnap.dashboard.live.relations import Touched
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Change, Objects
from ksnap.kube.watch.records import Metadata, Owner, Record
from ksnap.kube.watch.resource import Resource

SETS: Resource[Record] = Resource("replicasets", "ReplicaSet", Record, group="apps")
_SET = Record(Metadata("web-5d", "n", "set", "1", owner_references=(Owner("Deployment", "web", "deployment"),)))
_POD = Pod(Metadata("web-5d-x", "n", "pod", "1", owner_references=(Owner("ReplicaSet", "web-5d", "set"),)))


def _view(*records: Record) -> View[Any]:
    view: View[Record] = View(None, None)
    view.objects = Objects()
    view.objects.replace(records)
    return view


def _around() -> Around:
    views: dict[Resource[Any], View[Any]] = {SETS: _view(_SET), PODS.resource: _view(_POD), EVENTS.resource: _view()}
    return Around("dev", views)


BESIDE = (SETS, PODS.resource, EVENTS.resource)


def test_a_pod_concerns_its_owners() -> None:
    touched = Touched()
    touched.add(Change("modified", _POD, _POD))
    assert touched.uids(_around(), BESIDE) == {"set", "deployment"}


def test_an_event_concerns_what_it_is_about_and_its_owners() -> None:
    event = Event(Metadata("e", "n", "e", "1"), involved_object=Involved("Pod", "n", "web-5d-x", "pod"))
    touched = Touched()
    touched.add(Change("added", None, event))
    assert touched.uids(_around(), BESIDE) == {"pod", "set", "deployment"}


def test_one_of_the_same_name_is_another_one() -> None:
    event = Event(Metadata("e", "n", "e", "1"), involved_object=Involved("Pod", "n", "web-5d-x", "former"))
    touched = Touched()
    touched.add(Change("added", None, event))
    assert touched.uids(_around(), BESIDE) == {"former"}


def test_a_pod_concerns_the_nodes_it_was_and_is_on() -> None:
    touched = Touched()
    assert not touched
    touched.add(Change("modified", Pod(Metadata("p"), node_name=""), Pod(Metadata("p"), node_name="node1")))
    assert touched.nodes == {"node1"}
