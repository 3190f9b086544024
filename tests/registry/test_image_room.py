"""A cache that is full, and a disk that is."""

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksnap.agent.images import Images
from ksnap.errors import InsufficientStorage
from tests.parties.archives import large_archive, small_archive
from tests.parties.checkpoint_images import digest_of, push_tar
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.image_cache import MIB, left, settings_for

pytestmark = needs_registry


class TestRoom:
    async def test_least_recently_used_images_make_room_and_held_ones_stay(
        self, registry: RunningRegistry, repository: str, state_dir: Path
    ) -> None:
        pushed = [
            await push_tar(registry.access, repository, large_archive(10 * MIB, seed=seed)) for seed in (1, 2, 3, 4)
        ]
        async with Images(settings_for(state_dir, image_cache_bytes=25 * MIB)) as images:
            await images.ensure(pushed[0], registry.access)
            await images.ensure(pushed[1], registry.access)
            await images.store.hold("c1", digest_of(pushed[0]))
            await images.ensure(pushed[2], registry.access)
            assert {each.digest for each in images.store.all()} == {pushed[0].digest, pushed[2].digest}
            await images.store.hold("c2", digest_of(pushed[2]))
            with pytest.raises(InsufficientStorage) as caught:
                await images.ensure(pushed[3], registry.access)
            assert "held" in caught.value.details
            assert images.state(digest_of(pushed[3])).error is not None
        assert len(left(state_dir)) == 2

    async def test_a_full_disk_is_told_and_left_as_it_was(
        self, registry: RunningRegistry, repository: str, tmpfs: Path
    ) -> None:
        """A disk of 12 MiB and an image of 16: it fails with the disk's own word, where no reserve is asked for."""
        image = await push_tar(registry.access, repository, compressible_archive(16 * MIB))
        async with Images(settings_for(tmpfs)) as images:
            with pytest.raises(InsufficientStorage, match="disk is"):
                await images.ensure(image, registry.access)
            assert left(tmpfs) == []
            small = await push_tar(registry.access, repository, small_archive())
            await images.ensure(small, registry.access)

    async def test_the_reserve_is_left_free(self, registry: RunningRegistry, repository: str, tmpfs: Path) -> None:
        image = await push_tar(registry.access, repository, large_archive(8 * MIB))
        async with Images(settings_for(tmpfs, min_free_bytes=6 * MIB)) as images:
            with pytest.raises(InsufficientStorage, match="too full"):
                await images.ensure(image, registry.access)
        assert left(tmpfs) == []

    async def test_a_disk_that_gets_too_full_gives_up_older_images(
        self, registry: RunningRegistry, repository: str, tmpfs: Path
    ) -> None:
        first = await push_tar(registry.access, repository, large_archive(5 * MIB, seed=1))
        second = await push_tar(registry.access, repository, large_archive(5 * MIB, seed=2))
        async with Images(settings_for(tmpfs, min_free_bytes=3 * MIB)) as images:
            await images.ensure(first, registry.access)
            await images.ensure(second, registry.access)
            assert [each.digest for each in images.store.all()] == [second.digest]


def compressible_archive(size: int) -> bytes:
    """What the layer says of its size is far less than what it unpacks to; and none of it is zeros."""
    words = [random.Random(1).randbytes(1024) for _ in range(4)]
    return small_archive(pages=(b"".join(words) * (size // 4096 + 1))[:size])


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    """A disk of 12 MiB."""
    if os.getuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
