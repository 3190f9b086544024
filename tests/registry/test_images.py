"""Checkpoint images pulled from the real registry into a node's cache: once for all who want them, and never half."""

import asyncio
import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from ksnap.agent.image_store import CachedImage
from ksnap.agent.images import Images
from ksnap.errors import Conflict, NotFound, Unavailable
from ksnap.model.digest import Digest
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import ImageStatus
from tests.parties.archives import large_archive, small_archive
from tests.parties.checkpoint_images import ANNOTATIONS, digest_of, push_tar
from tests.parties.fault_proxy import FaultProxy
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.image_cache import MIB, blob_requests, eventually, left, settings_for, until

pytestmark = needs_registry


class TestPulled:
    async def test_image_is_the_archives_files_and_its_description(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        tar = small_archive(pages=os.urandom(3 * MIB) + bytes(2 * MIB))
        image = await push_tar(registry.access, repository, tar)

        cached = await images.ensure(image, registry.access)

        assert cached.path == state_dir / "images" / f"sha256-{digest_of(image)[7:]}"
        assert left(state_dir) == [cached.path.name]
        with tarfile.open(fileobj=io.BytesIO(tar)) as reader:
            wanted = {each.name: reader.extractfile(each).read() for each in reader if each.isreg()}  # type: ignore[union-attr]
        found = {
            path.relative_to(cached.path).as_posix(): path.read_bytes()
            for path in cached.path.rglob("*")
            if path.is_file()
        }
        described = json.loads(found.pop("image.json"))
        assert found == wanted
        assert described["digest"] == image.digest
        assert described["repository"] == f"{registry.host}/{repository}"
        assert described["architecture"] == "amd64"
        assert described["annotations"] | ANNOTATIONS == described["annotations"]
        assert described["unpacked_at"].endswith("Z")
        assert described["size_bytes"] == cached.size_bytes == sum(map(len, wanted.values()))
        assert {path.stat().st_mode & 0o777 for path in cached.path.rglob("*") if path.is_file()} == {0o600}

    async def test_second_one_asks_no_registry(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        first = await images.ensure(image, access)
        asked = len(proxy.requests)
        assert await images.ensure(image, access) is first
        assert len(proxy.requests) == asked

    async def test_many_share_one_pull(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        image = await push_tar(access, repository, large_archive(8 * MIB))
        found = await asyncio.gather(*(images.ensure(image, access) for _ in range(20)))
        assert len({id(each) for each in found}) == 1
        assert blob_requests(proxy) == 2

    async def test_prefetch_answers_at_once_and_tells_its_way(
        self, registry: RunningRegistry, repository: str, images: Images
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(16 * MIB))
        assert images.state(digest_of(image)).status is ImageStatus.ABSENT
        state = await images.prefetch(image, registry.access)
        assert state.status is ImageStatus.PULLING
        seen = []
        while (state := images.state(digest_of(image))).status is ImageStatus.PULLING:
            seen.append((state.bytes_done, state.bytes_total))
            await asyncio.sleep(0.002)
        assert state.status is ImageStatus.READY
        assert state.size_bytes > 16 * MIB
        assert seen == sorted(seen, key=lambda each: each[0])
        assert seen[-1][1] is not None
        assert (await images.prefetch(image, registry.access)).status is ImageStatus.READY
        assert [each.status for each in images.states()] == [ImageStatus.READY]

    async def test_next_agent_has_it(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, small_archive())
        async with Images(settings_for(state_dir)) as images:
            await images.ensure(image, access)
        asked = len(proxy.requests)
        async with Images(settings_for(state_dir)) as images:
            assert images.state(digest_of(image)).status is ImageStatus.READY
            await images.ensure(image, access)
        assert len(proxy.requests) == asked

    async def test_waiting_for_a_pull_gives_its_figures(
        self, registry: RunningRegistry, repository: str, images: Images
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(16 * MIB))
        await images.prefetch(image, registry.access)
        _, progress = await images.arrived(digest_of(image))
        assert progress.fetch_s > 0
        assert progress.unpack_s > 0
        _, nothing = await images.arrived(digest_of(image))
        assert (nothing.fetch_s, nothing.unpack_s) == (0, 0)
        with pytest.raises(NotFound):
            await images.arrived(Digest("sha256:" + "0" * 64))

    async def test_the_same_digest_of_another_repository_is_the_same_image(
        self, registry: RunningRegistry, repository: str, images: Images
    ) -> None:
        tar = small_archive()
        one = await push_tar(registry.access, repository, tar)
        other = await push_tar(registry.access, f"{repository}-2", tar)
        assert one.digest == other.digest
        assert await images.ensure(one, registry.access) is await images.ensure(other, registry.access)


class TestCancelled:
    async def test_one_who_gives_up_takes_nothing_from_the_others(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        image = await push_tar(access, repository, large_archive(8 * MIB))
        first = asyncio.ensure_future(images.ensure(image, access))
        second = asyncio.ensure_future(images.ensure(image, access))
        await until(images, digest_of(image), ImageStatus.PULLING)
        first.cancel()
        assert (await second).path.is_dir()
        assert first.cancelled()
        assert blob_requests(proxy) == 2

    async def test_a_pull_that_nobody_wants_any_more_leaves_nothing(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(access, repository, large_archive(64 * MIB))
        waiters = [asyncio.ensure_future(images.ensure(image, access)) for _ in range(3)]
        await eventually(lambda: images.state(digest_of(image)).bytes_done > MIB)
        assert left(state_dir)[0].startswith(".making-")
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        await eventually(lambda: left(state_dir) == [])
        assert images.state(digest_of(image)).status is ImageStatus.ABSENT
        assert (await images.ensure(image, access)).path.is_dir(), "it can be had again"

    async def test_prefetch_goes_on_when_a_waiter_gives_up(
        self, registry: RunningRegistry, repository: str, images: Images
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(8 * MIB))
        await images.prefetch(image, registry.access)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await images.arrived(digest_of(image))
        await until(images, digest_of(image), ImageStatus.READY)

    async def test_dropping_stops_a_pull_and_removes_an_image(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(32 * MIB))
        await images.prefetch(image, registry.access)
        await images.drop(digest_of(image))
        assert images.state(digest_of(image)).status is ImageStatus.ABSENT
        assert left(state_dir) == []
        await images.ensure(image, registry.access)
        await images.drop(digest_of(image))
        await images.drop(digest_of(image))
        assert left(state_dir) == []

    async def test_what_is_in_use_is_not_dropped(
        self, registry: RunningRegistry, repository: str, images: Images
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(8 * MIB))
        waiting = asyncio.ensure_future(images.ensure(image, registry.access))
        await until(images, digest_of(image), ImageStatus.PULLING)
        with pytest.raises(Conflict):
            await images.drop(digest_of(image))
        await waiting
        await images.store.hold("c1", digest_of(image))
        with pytest.raises(Conflict):
            await images.drop(digest_of(image))
        await images.store.release("c1")
        await images.drop(digest_of(image))

    async def test_the_agents_end_leaves_nothing_half(
        self, registry: RunningRegistry, repository: str, state_dir: Path
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(64 * MIB))
        async with Images(settings_for(state_dir)) as images:
            waiting = asyncio.ensure_future(images.ensure(image, registry.access))
            await eventually(lambda: images.state(digest_of(image)).bytes_done > MIB)
            await images.interrupt()
            with pytest.raises(Unavailable):
                await waiting
            with pytest.raises(Unavailable):
                await images.prefetch(image, registry.access)
        assert left(state_dir) == []


async def test_pulls_beyond_the_limit_wait_for_their_turn(
    registry: RunningRegistry, repository: str, state_dir: Path
) -> None:
    pushed = [await push_tar(registry.access, repository, large_archive(4 * MIB, seed=seed)) for seed in range(4)]
    async with Images(settings_for(state_dir, max_pulls=1)) as images:
        most = 0
        pulls = [asyncio.ensure_future(images.ensure(each, registry.access)) for each in pushed]
        while not all(each.done() for each in pulls):
            most = max(most, sum(name.startswith(".making-") for name in left(state_dir)))
            await asyncio.sleep(0.002)
        found: list[CachedImage] = await asyncio.gather(*pulls)
    assert most == 1
    assert len(found) == 4


async def test_the_event_loop_is_never_kept_waiting(registry: RunningRegistry, repository: str, images: Images) -> None:
    """32 MiB unpacked while a ticker ticks: the loop's own thread never works long enough to be felt by a prepare.

    Its own time is measured, and not the clock's, which on a busy machine says what others did.
    """
    image = await push_tar(registry.access, repository, large_archive(32 * MIB))
    worst, stop = 0.0, False

    async def tick() -> None:
        nonlocal worst
        while not stop:
            begun = time.thread_time()
            await asyncio.sleep(0.005)
            worst = max(worst, time.thread_time() - begun)

    ticking = asyncio.ensure_future(tick())
    await images.ensure(image, registry.access)
    stop = True
    await ticking
    assert worst < 0.1
