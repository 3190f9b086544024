"""Archives published to the real registry: whole, or, where they are bad or nobody wants them any more, not at all."""

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dev.cluster.tools import tool
from ksnap.agent.publish import ArchiveOptions, pack_archive, push_archive
from ksnap.errors import CheckpointFailed, ImagePushFailed, TooLarge
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import push_image, undo_push
from ksnap.registry.image_read import decompressed, find_layer, open_archive
from ksnap.registry.manifests import Manifests
from tests.parties.archives import END, Member, criu_images, documents, small_archive, write_archive
from tests.parties.fault_proxy import Answer, Fault, FaultProxy
from tests.parties.registry import PASSWORD, RunningRegistry, needs_registry
from tests.registry.publishing import MIB, Journal, packed, push, tagged, target

pytestmark = needs_registry


class TestPushed:
    async def test_an_archive_becomes_an_image(self, registry: RunningRegistry, repository: str, archive: Path) -> None:
        seen: list[tuple[int, int | None]] = []
        journal = Journal()
        facts, image = await push_archive(
            archive,
            registry=registry.access,
            target=target(repository),
            options=ArchiveOptions(include_log=True),
            progress=lambda done, total: seen.append((done, total)),
            log=journal,
        )
        data = await asyncio.to_thread(archive.read_bytes)
        assert facts.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert seen[-1] == (len(data), len(data))
        assert await tagged(registry, repository) == image.digest
        assert journal.started == journal.ended
        assert journal.blobs == image.blobs == [facts.compressed_digest, image.config_digest]
        assert journal.manifests == [image.manifest_digest, image.digest]
        async with open_registry(registry.access) as client:
            layer = await find_layer(client, repository, image.digest)
            assert (layer.digest, layer.size) == (facts.compressed_digest, facts.compressed_bytes)
            async with open_archive(client, repository, layer.digest) as plain:
                assert b"".join([chunk async for chunk in plain]) == data
            async with open_archive(client, repository, layer.digest, offset=3 * MIB + 7) as plain:
                assert b"".join([chunk async for chunk in plain]) == data[3 * MIB + 7 :]

    async def test_a_second_push_finds_everything_there(
        self, registry: RunningRegistry, repository: str, archive: Path
    ) -> None:
        _, first = await push(archive, registry.access, repository)
        _, second = await push(archive, registry.access, repository)
        assert second.digest == first.digest
        assert second.blobs == []
        assert registry.stored_uploads(repository) == []

    async def test_a_stream_is_as_good_as_a_file(self, registry: RunningRegistry, repository: str) -> None:
        data = small_archive(pages=bytes(3 * MIB))

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 10_007):
                yield data[at : at + 10_007]

        facts, _ = await push(chunks, registry.access, repository)
        assert facts.size_bytes == len(data) - 512 - 1536  # less the log: its header, and 1440 bytes padded

    async def test_skopeo_accepts_it(
        self, registry: RunningRegistry, repository: str, archive: Path, tmp_path: Path
    ) -> None:
        _, image = await push(archive, registry.access, repository)
        trusted = tmp_path / "trusted"
        trusted.mkdir()
        shutil.copy(registry.certificate.ca, trusted / "ca.crt")
        login = ["--src-creds", f"ksnap:{PASSWORD}", "--src-cert-dir", str(trusted)]
        source = f"docker://{registry.host}/{repository}@{image.digest}"
        run = await asyncio.to_thread(
            subprocess.run,
            [str(tool("skopeo")), "--insecure-policy", "copy", "--all", *login, source, f"oci:{tmp_path / 'copy'}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr

    async def test_undo_takes_everything_out(self, registry: RunningRegistry, repository: str, archive: Path) -> None:
        journal = Journal()
        await push(archive, registry.access, repository, journal)
        async with open_registry(registry.access) as client:
            for _ in range(2):
                await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)
            found = await Manifests(client, repository).head("one")
        assert found is None

    async def test_undo_goes_on_after_a_failure(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        journal = Journal()
        await push(archive, access, repository, journal)
        proxy.add(Fault("DELETE", "/manifests/", Answer(403)))
        async with open_registry(access) as client:
            with pytest.raises(ImagePushFailed, match="refused the request"):
                await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)
        deleted = {seen.path for seen in proxy.requests if seen.method == "DELETE"}
        assert len(deleted) == 4

    async def test_a_stored_layer_is_pushed_and_mounted(
        self, registry: RunningRegistry, repository: str, archive: Path
    ) -> None:
        facts, layer = await packed(archive)

        async def source() -> AsyncIterator[bytes]:
            for at in range(0, len(layer), 100_000):
                yield layer[at : at + 100_000]

        async with open_registry(registry.access) as client:
            first = await push_image(client, facts, target(repository), layer=source)
            again = await push_image(client, facts, target(f"{repository}-2"), layer=source, mount_from=repository)
        assert first.digest == again.digest
        assert first.blobs[0] == facts.compressed_digest
        _, image = await push(archive, registry.access, repository)
        assert image.digest == first.digest, "a published archive and a pushed one are the same image"

    async def test_a_failed_push_of_a_stored_layer_undoes_itself(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        facts, layer = await packed(archive)
        proxy.add(Fault("PUT", "/manifests/one", Answer(403)))

        async def source() -> AsyncIterator[bytes]:
            yield layer

        async with open_registry(access) as client:
            with pytest.raises(ImagePushFailed):
                await push_image(client, facts, target(repository), layer=source)
            assert await Manifests(client, repository).head("one") is None
        deleted = [seen.path for seen in proxy.requests if seen.method == "DELETE"]
        assert len(deleted) == 4


class TestPack:
    async def test_the_compressed_archive_goes_to_its_consumer(self, archive: Path) -> None:
        facts, layer = await packed(archive)
        assert facts.compressed_digest == f"sha256:{hashlib.sha256(layer).hexdigest()}"

        async def source() -> AsyncIterator[bytes]:
            yield layer

        plain = b"".join([chunk async for chunk in decompressed(source())])
        assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == facts.digest

    async def test_a_consumer_never_sees_the_end_of_a_bad_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.tar"
        path.write_bytes(small_archive()[:-700])
        ended = False

        async def consume(stream: AsyncIterator[bytes]) -> None:
            nonlocal ended
            async for _ in stream:
                pass
            ended = True

        with pytest.raises(CheckpointFailed, match="refused"):
            await pack_archive(path, consume)
        assert not ended

    async def test_a_consumers_failure_is_the_error(self, archive: Path) -> None:
        async def consume(stream: AsyncIterator[bytes]) -> None:
            await anext(stream)
            raise ConnectionResetError("the server went away")

        with pytest.raises(ConnectionResetError):
            await pack_archive(archive, consume)

    async def test_a_missing_file_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointFailed, match="cannot be read"):
            await packed(tmp_path / "none.tar")


class TestRefusedArchives:
    async def test_a_hostile_archive_leaves_nothing(
        self, registry: RunningRegistry, repository: str, tmp_path: Path
    ) -> None:
        """The link stands at the end: megabytes were uploaded before it came."""
        path = tmp_path / "hostile.tar"
        pages = Member("checkpoint/pages-1.img", hashlib.shake_128(b"seed").digest(6 * MIB))
        link = Member("checkpoint/pages-2.img", kind="2", link="/etc/shadow")
        path.write_bytes(b"".join(m.encode() for m in [*criu_images(), *documents(), pages, link]) + END)
        journal = Journal()
        with pytest.raises(CheckpointFailed) as caught:
            await push(path, registry.access, repository, journal)
        assert "neither a regular file nor a folder" in caught.value.details
        assert journal.blobs == []
        assert journal.started == journal.ended
        assert registry.stored_uploads(repository) == []
        assert await tagged(registry, repository) is None

    async def test_an_archive_over_the_limit(self, registry: RunningRegistry, repository: str, archive: Path) -> None:
        with pytest.raises(TooLarge):
            await push_archive(
                archive,
                registry=registry.access,
                target=target(repository),
                options=ArchiveOptions(max_bytes=5 * MIB),
            )
        assert registry.stored_uploads(repository) == []


class TestCancelled:
    async def test_a_cancelled_push_cancels_its_upload(
        self, registry: RunningRegistry, repository: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "large.tar"
        write_archive(path, 100 * MIB, incompressible=1.0)
        started = asyncio.Event()
        journal = Journal()

        def progress(done: int, _: int | None) -> None:
            if done > 20 * MIB:
                started.set()

        pushing = asyncio.ensure_future(
            push_archive(path, registry=registry.access, target=target(repository), progress=progress, log=journal)
        )
        await started.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        assert registry.stored_uploads(repository) == []
        assert journal.started == journal.ended
        assert journal.blobs == []
