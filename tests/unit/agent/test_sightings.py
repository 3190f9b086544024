"""Pods of a node that wish to be restored: what is kept of them, and who hears of them when."""

import asyncio
from typing import Any

import pytest

from ksnap.agent.sightings import SightedPod, Sightings, sighted_pod
from ksnap.model.checkpoint_key import owner_of

NAME = "web-6d4b75cb6d-x2x4z"
IMAGE = "reg.example/snap/web@sha256:" + "a" * 64


def pod(name: str = NAME, *, phase: str = "Pending", uid: str = "u1", **changes: Any) -> dict[str, Any]:
    """As a ReplicaSet of the Deployment `web` has it made."""
    metadata = {
        "namespace": "shop",
        "name": name,
        "uid": uid,
        "resourceVersion": "7",
        "labels": {"app": "web", "pod-template-hash": "6d4b75cb6d"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-6d4b75cb6d", "controller": True}],
        "annotations": {"restore.ksnap.dev/app": IMAGE, "permit.ksnap.dev/app": "signed", "team": "shop"},
    }
    spec = {"runtimeClassName": "ksnap", "imagePullSecrets": [{"name": "pull"}], "containers": [{"name": "app"}]}
    return {"metadata": {**metadata, **changes}, "spec": spec, "status": {"phase": phase}}


class Begun(list[SightedPod]):
    async def __call__(self, found: SightedPod) -> None:
        self.append(found)


def test_little_is_kept() -> None:
    found = sighted_pod(pod())
    assert found == SightedPod(
        namespace="shop",
        name="web-6d4b75cb6d-x2x4z",
        uid="u1",
        owner="Deployment/web",
        wishes={"app": IMAGE},
        permits={"app": "signed"},
        pull_secrets=("pull",),
        is_pending=True,
    )
    assert found is not None
    assert found.owner == owner_of(pod()["metadata"]), "as the server computes it"
    assert "signed" not in repr(found)


def test_pods_that_wish_for_nothing_or_have_no_class_are_not_ours() -> None:
    assert sighted_pod(pod(annotations={"team": "shop"})) is None
    assert sighted_pod({"metadata": {"namespace": "shop", "name": "w", "uid": "u"}}) is None
    assert sighted_pod({**pod(), "spec": {}}) is None


def test_what_no_container_asks_for_or_is_too_long_is_not_kept() -> None:
    names = {f"restore.ksnap.dev/other{number}": IMAGE for number in range(100)}
    assert sighted_pod(pod(annotations=names)) is None
    assert sighted_pod(pod(annotations={"restore.ksnap.dev/app": "x" * 1025})) is None
    found = sighted_pod(pod(annotations={"restore.ksnap.dev/app": IMAGE, "permit.ksnap.dev/app": "x" * 5000}))
    assert found is not None
    assert found.permits == {}


async def test_a_pod_begins_once() -> None:
    begun = Begun()
    sightings = Sightings(begun)
    await sightings.saw(pod())
    await sightings.saw(pod(resourceVersion="8"))
    assert len(begun) == 1
    other = {"restore.ksnap.dev/app": IMAGE.replace("a" * 64, "b" * 64)}
    await sightings.saw(pod(annotations=other))
    await sightings.saw(pod(uid="u2", annotations=other))
    assert [each.uid for each in begun] == ["u1", "u1", "u2"], "another image, another pod of that name"


async def test_one_that_runs_is_known_and_nothing_is_begun_for_it() -> None:
    begun = Begun()
    sightings = Sightings(begun)
    await sightings.saw(pod(phase="Running"))
    assert (await sightings.sighting("shop", "web-6d4b75cb6d-x2x4z", "u1")).wishes == {"app": IMAGE}
    assert begun == []


async def test_whoever_asks_first_waits_for_the_very_pod() -> None:
    sightings = Sightings(Begun())
    asking = [asyncio.ensure_future(sightings.sighting("shop", "web-1", "u2")) for _ in range(3)]
    await sightings.saw(pod("web-2", uid="u2"))
    await sightings.saw(pod("web-1", uid="u1"))
    await asyncio.sleep(0)
    assert not any(each.done() for each in asking)
    await sightings.saw(pod("web-1", uid="u2"))
    assert {each.uid for each in await asyncio.gather(*asking)} == {"u2"}


async def test_a_pod_is_known_only_when_its_pulls_have_begun() -> None:
    go_on = asyncio.Event()

    async def begin(_: SightedPod) -> None:
        await go_on.wait()

    sightings = Sightings(begin)
    seeing = asyncio.ensure_future(sightings.saw(pod("web-1")))
    asking = asyncio.ensure_future(sightings.sighting("shop", "web-1", "u1"))
    await asyncio.sleep(0)
    assert not asking.done()
    go_on.set()
    await seeing
    assert (await asking).name == "web-1"


async def test_what_is_gone_is_forgotten() -> None:
    sightings = Sightings(Begun())
    for name in ("web-1", "web-2", "web-3"):
        await sightings.saw(pod(name))
    sightings.lost("shop", "web-1")
    sightings.keep_only({("shop", "web-3")})
    await sightings.saw(pod("web-3", annotations={}))
    for name in ("web-1", "web-2", "web-3"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await sightings.sighting("shop", name, "u1")
