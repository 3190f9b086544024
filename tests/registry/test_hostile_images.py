"""Images that no agent of ours pushed: refused, and nothing of them is left on the node."""

import hashlib
import os
from pathlib import Path

import pytest
import zstandard

from bench.push_once import peak_mib
from ksnap.agent.images import Images
from ksnap.errors import CheckpointFailed, InsufficientStorage, InvalidInput, RegistryConnectionFailed
from ksnap.model.digest import Digest
from ksnap.model.image import ImageRef
from ksnap.model.registry_access import RegistryAccess
from tests.parties.archives import END, Member, criu_images, documents, large_archive, small_archive
from tests.parties.checkpoint_images import push_layer, push_tar, push_zeros
from tests.parties.fault_proxy import FaultProxy
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.image_cache import MIB, left, settings_for

pytestmark = needs_registry
HOSTILE = {
    "symbolic link": Member("checkpoint/pages-2.img", kind="2", link="/etc/shadow"),
    "hard link": Member("checkpoint/pages-2.img", kind="1", link="config.dump"),
    "device": Member("checkpoint/pages-2.img", kind="3"),
    "block device": Member("checkpoint/pages-2.img", kind="4"),
    "fifo": Member("checkpoint/pages-2.img", kind="6"),
    "sparse": Member("checkpoint/pages-2.img", kind="S"),
    "climbing": Member("checkpoint/../../../../etc/cron.d/x.img", b"x"),
    "absolute": Member("/etc/cron.d/x", b"x"),
    "our own description": Member("image.json", b"{}"),
    "twice": Member("config.dump", b"{}"),
    "overlay": Member("checkpoint/pages-2.img", b"x", pax={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
    "a document of many gigabytes": Member("bind.mounts", size=100 << 30),
    "a document past its bound": Member("network.status", bytes(5 * MIB)),
    "more bytes than there are": Member("checkpoint/pages-2.img", b"x", size=1 << 62),
    "folder with a link's name": Member("checkpoint/x/", kind="5"),
}


class TestHostile:
    @pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE.keys())
    async def test_what_no_runtime_writes_is_refused_and_leaves_nothing(
        self, registry: RunningRegistry, repository: str, state_dir: Path, member: Member
    ) -> None:
        pages = Member("checkpoint/pages-1.img", os.urandom(3 * MIB))
        tar = b"".join(each.encode() for each in [*criu_images(), *documents(), pages, member]) + END
        image = await push_tar(registry.access, repository, tar)
        async with Images(settings_for(state_dir)) as images:
            with pytest.raises(CheckpointFailed):
                await images.ensure(image, registry.access)
        assert left(state_dir) == []
        assert os.listdir(state_dir.parent) == ["state"]

    @pytest.mark.parametrize("cut", [1, 700, 2 * MIB])
    async def test_an_archive_that_is_cut_off(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path, cut: int
    ) -> None:
        image = await push_tar(registry.access, repository, large_archive(4 * MIB)[:-cut])
        with pytest.raises(CheckpointFailed):
            await images.ensure(image, registry.access)
        assert left(state_dir) == []

    async def test_a_layer_that_is_no_zstd(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        image = await push_layer(registry.access, repository, os.urandom(MIB), digest="sha256:" + "1" * 64)
        with pytest.raises(RegistryConnectionFailed, match="decompressed"):
            await images.ensure(image, registry.access)
        assert left(state_dir) == []

    async def test_a_layer_cut_off_within_zstd(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        tar = small_archive()
        layer = zstandard.ZstdCompressor().compress(tar)[:-5]
        image = await push_layer(registry.access, repository, layer, digest=f"sha256:{hashlib.sha256(tar).hexdigest()}")
        with pytest.raises(RegistryConnectionFailed, match="decompressed"):
            await images.ensure(image, registry.access)
        assert left(state_dir) == []

    async def test_an_archive_that_is_not_the_one_of_its_configuration(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        layer = zstandard.ZstdCompressor().compress(small_archive())
        image = await push_layer(registry.access, repository, layer, digest="sha256:" + "1" * 64)
        with pytest.raises(CheckpointFailed) as caught:
            await images.ensure(image, registry.access)
        assert "not the one that its image names" in caught.value.details
        assert left(state_dir) == []

    async def test_a_layer_longer_than_it_says(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        tar = large_archive(2 * MIB)
        # The registry does not take such a blob; once it is there it takes a manifest that lies about it.
        await push_tar(registry.access, repository, tar)
        image = await push_tar(registry.access, repository, tar, compressed_bytes=1000)
        with pytest.raises(RegistryConnectionFailed, match="wrong bytes"):
            await images.ensure(image, registry.access)
        assert left(state_dir) == []

    async def test_a_window_that_would_take_all_memory(
        self, registry: RunningRegistry, repository: str, images: Images, state_dir: Path
    ) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
        tar = large_archive(2 * MIB)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        layer = compressor.compress(tar) + compressor.flush()
        image = await push_layer(registry.access, repository, layer, digest=f"sha256:{hashlib.sha256(tar).hexdigest()}")
        with pytest.raises(RegistryConnectionFailed, match="decompressed"):
            await images.ensure(image, registry.access)
        assert left(state_dir) == []

    async def test_100_gigabytes_of_zeros_end_at_the_caches_limit(
        self, registry: RunningRegistry, repository: str, state_dir: Path
    ) -> None:
        """100 GiB in 3 MB: refused when 128 MiB are passed, and no memory or disk is taken meanwhile."""
        image = await push_zeros(registry.access, repository, gib=100)
        before = new_peak_mib()
        async with Images(settings_for(state_dir, image_cache_bytes=128 * MIB)) as images:
            with pytest.raises(InsufficientStorage, match="larger than"):
                await images.ensure(image, registry.access)
        assert left(state_dir) == []
        assert peak_mib() - before < 150

    async def test_an_image_of_another_kind(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, images: Images
    ) -> None:
        await push_tar(access, repository, small_archive())
        put = [seen.path for seen in proxy.requests if seen.method == "PUT" and "/manifests/sha256:" in seen.path]
        manifest = Digest(put[0].rpartition("/")[2])
        with pytest.raises(InvalidInput):
            await images.ensure(ImageRef(access.host, repository, digest=manifest), access)


def new_peak_mib() -> float:
    """What this process has now, with its high-water mark begun anew (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mib()
