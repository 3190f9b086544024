"""The watch of a node's pods: list and resume, bookmarks, 410 in both forms, refusals, and lines that are none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ksnap.agent.api_server import ApiServer, ServiceAccount
from ksnap.agent.pod_watch import PodWatch
from ksnap.agent.settings import AgentSettings
from ksnap.agent.sightings import SightedPod, Sightings
from tests.parties.certificates import issue_certificate
from tests.parties.pods_api import TOKEN, PodsApi, pods_api
from tests.unit.agent.test_sightings import pod


@dataclass(slots=True)
class Watched:
    api: PodsApi
    begun: list[SightedPod] = field(default_factory=list)
    sightings: Sightings = field(init=False)

    def __post_init__(self) -> None:
        self.sightings = Sightings(self._begin)

    async def _begin(self, found: SightedPod) -> None:
        self.begun.append(found)

    async def sees(self, name: str, uid: str = "u1") -> SightedPod:
        async with asyncio.timeout(20):
            return await self.sightings.sighting("shop", name, uid)

    async def knows(self, name: str, uid: str = "u1") -> bool:
        try:
            async with asyncio.timeout(0):
                await self.sightings.sighting("shop", name, uid)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def watching(folder: Path, prepare: Callable[[PodsApi], None] = lambda _: None) -> AsyncIterator[Watched]:
    """A watch that runs until the block ends."""
    certificate = issue_certificate(folder)
    (folder / "token").write_text(TOKEN)
    async with pods_api(certificate) as api:
        prepare(api)
        settings = AgentSettings.model_validate(
            {"node_name": "node1", "api_server_host": "127.0.0.1", "api_server_port": api.port}
        )
        watched = Watched(api)
        async with ApiServer(settings, ServiceAccount(folder)) as api_server:
            running = asyncio.ensure_future(PodWatch(api_server, "node1", watched.sightings).run())
            try:
                yield watched
            finally:
                running.cancel()
                await asyncio.wait([running])
                assert running.cancelled(), "it never ends by itself"


async def test_pods_that_are_there_and_pods_that_come_are_seen(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.watched(1)
        await watched.api.put(pod("web-1"))
        assert (await watched.sees("web-1")).owner == "Deployment/web"
        await watched.api.put(pod("web-1", annotations={}))
        await watched.api.put(pod("web-2"))
        await watched.sees("web-2")
        assert not await watched.knows("web-1"), "it wishes for nothing any more"
        await watched.api.delete("shop", "web-2")
        await watched.api.put(pod("web-3"))
        await watched.sees("web-3")
        assert not await watched.knows("web-2")
    selector = "spec.nodeName=node1,status.phase!=Succeeded,status.phase!=Failed"
    assert watched.api.lists == [{"fieldSelector": selector, "resourceVersion": "0"}]
    [query] = watched.api.watches
    assert (query["fieldSelector"], query["allowWatchBookmarks"], query["resourceVersion"]) == (selector, "true", "1")


async def test_a_watch_that_ends_is_resumed_where_it_was(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.watched(1)
        await watched.api.put(pod("web-1"))
        await watched.sees("web-1")
        await watched.api.bookmark()
        await watched.api.put(pod("web-2"))
        await watched.sees("web-2")
        await watched.api.end_watches()
        await watched.api.watched(2)
        await watched.api.put(pod("web-3"))
        await watched.sees("web-3")
    assert len(watched.api.lists) == 1
    assert watched.api.watches[1]["resourceVersion"] == "103"
    assert [each.name for each in watched.begun] == ["web-1", "web-2", "web-3"]


async def test_a_bookmark_alone_moves_on(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.watched(1)
        await watched.api.bookmark()
        await watched.api.end_watches()
        await watched.api.watched(2)
    assert watched.api.watches[1]["resourceVersion"] == "101"


async def test_a_pod_that_is_not_understood_hides_no_other(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.put(pod("odd", ownerReferences=[{"controller": True}]))
        await watched.api.watched(1)
        await watched.api.put(pod("odd", ownerReferences=[{"controller": True}]))
        await watched.api.put(pod("web-1"))
        await watched.sees("web-1")


@pytest.mark.parametrize("form", ["status", "event"])
async def test_too_old_a_version_asks_for_a_new_list(tmp_path: Path, form: str) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.watched(1)
        await watched.api.put(pod("web-1"))
        await watched.sees("web-1")
        if form == "status":
            await watched.api.forget()
            await watched.api.end_watches()
        else:
            await watched.api.say('{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}')
        await watched.api.delete("shop", "web-1", seen=False)
        await watched.api.put(pod("web-2"), seen=False)
        await watched.sees("web-2")
        assert not await watched.knows("web-1")
    assert len(watched.api.lists) == 2


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_a_refusal_is_waited_out(tmp_path: Path, status: int) -> None:
    async with watching(tmp_path, lambda api: api.refuse.append(status)) as watched:
        await watched.api.watched(1)
        await watched.api.put(pod("web-1"))
        await watched.sees("web-1")


@pytest.mark.parametrize(
    "line", ['{"type": "ERROR", "object": {"code": 500, "message": "no"}}', "<html>", "[]", '{"type": "ADDED"']
)
async def test_garbage_and_errors_in_a_watch_end_that_one(tmp_path: Path, line: str) -> None:
    async with watching(tmp_path) as watched:
        await watched.api.watched(1)
        await watched.api.say(line)
        await watched.api.put(pod("web-1"))
        await watched.sees("web-1")
