"""What an undo or a deletion takes out of the registry, and what it leaves: above all the tag's earlier image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ksnap.errors import ImagePushFailed
from ksnap.model.backoff import Backoff
from ksnap.model.checkpoint_image import PushedImage
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import open_registry
from ksnap.registry.image_copy import Place, copy_image
from ksnap.registry.image_push import push_image, undo_push
from ksnap.registry.image_removal import remove_image
from ksnap.registry.manifests import Manifests
from tests.parties.archives import write_archive
from tests.parties.fault_proxy import Answer, CutAnswer, Fault, FaultProxy
from tests.parties.registry import RunningRegistry, needs_registry
from tests.registry.publishing import MIB, Journal, packed, push, tagged, target

pytestmark = needs_registry


class TestRegistriesThatDeleteLittle:
    """405 and UNSUPPORTED: docker-registry unless it is configured, and most hosted ones."""

    @pytest.mark.parametrize("answer", [Answer(405), Answer(400, b'{"errors":[{"code":"UNSUPPORTED"}]}'), Answer(404)])
    async def test_blobs_and_uploads_are_left_to_the_registrys_collector(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path, answer: Answer
    ) -> None:
        journal = Journal()
        await push(archive, access, repository, journal)
        fault = proxy.add(Fault("DELETE", "/blobs/", answer, times=None))
        async with open_registry(access) as client:
            upload = await Blobs(client, repository).start_upload()
            await undo_push(client, repository, uploads=[upload], blobs=journal.blobs, manifests=journal.manifests)
            assert await Manifests(client, repository).head("one") is None
        assert fault.met == 3

    async def test_an_upload_that_cannot_be_cancelled_fails_no_undo(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        fault = proxy.add(Fault("DELETE", "/uploads/", Answer(403)))
        async with open_registry(access) as client:
            await undo_push(client, repository, uploads=[await Blobs(client, repository).start_upload()])
        assert fault.met == 1

    async def test_an_upload_that_cannot_be_cancelled_fails_no_push(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        """The layer is there already: the second push has no use for its upload."""
        _, first = await push(archive, access, repository)
        fault = proxy.add(Fault("DELETE", "/uploads/", Answer(403), times=None))
        _, second = await push(archive, access, repository)
        assert fault.met == 1
        assert second.digest == first.digest

    async def test_a_checkpoint_can_be_deleted_where_blobs_cannot(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        facts, image = await push(archive, access, repository)
        proxy.add(Fault("DELETE", "/blobs/", Answer(405), times=None))
        async with open_registry(access) as client:
            await remove_image(client, repository, image.digest, layer=facts.compressed_digest)
            assert await Manifests(client, repository).head("one") is None

    async def test_a_manifest_that_stays_is_a_failure(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path
    ) -> None:
        facts, image = await push(archive, access, repository)
        proxy.add(Fault("DELETE", "/manifests/", Answer(405), times=None))
        async with open_registry(access) as client:
            with pytest.raises(ImagePushFailed, match="refused the request"):
                await remove_image(client, repository, image.digest, layer=facts.compressed_digest)


class TestEarlierImage:
    """Each freeze of a workload moves one tag; what it named before must survive whatever becomes of the new image."""

    @pytest.fixture
    async def earlier(self, registry: RunningRegistry, repository: str, tmp_path: Path) -> PushedImage:
        path = tmp_path / "earlier.tar"
        write_archive(path, MIB, seed=7)
        return (await push(path, registry.access, repository))[1]

    async def test_it_has_its_tag_again_after_an_undo(
        self, registry: RunningRegistry, repository: str, archive: Path, earlier: PushedImage
    ) -> None:
        journal = Journal()
        _, image = await push(archive, registry.access, repository, journal)
        assert journal.former_tag_digest == earlier.digest
        async with open_registry(registry.access) as client:
            for _ in range(2):
                await undo_push(
                    client,
                    repository,
                    blobs=journal.blobs,
                    manifests=journal.manifests,
                    tag="one",
                    former_tag_digest=journal.former_tag_digest,
                )
            assert await Manifests(client, repository).head(image.digest) is None
        assert await tagged(registry, repository) == earlier.digest

    async def test_it_has_its_tag_again_after_a_failed_push_of_a_stored_layer(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path, earlier: PushedImage
    ) -> None:
        facts, layer = await packed(archive)
        proxy.add(Fault("HEAD", "/manifests/sha256", Answer(404), skip=2))

        async def source() -> AsyncIterator[bytes]:
            yield layer

        async with open_registry(access) as client:
            with pytest.raises(ImagePushFailed, match="does not show the pushed image"):
                await push_image(client, facts, target(repository), layer=source)
            assert await Manifests(client, repository).head("one") == earlier.digest

    async def test_it_has_its_tag_again_after_a_failed_copy(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, archive: Path, earlier: PushedImage
    ) -> None:
        """The registry moves the tag, and its answer is lost, also when aiohttp asks again over a new connection."""
        other = f"{repository}-2"
        _, image = await push(archive, access, other)
        fault = proxy.add(Fault("PUT", "/manifests/one", CutAnswer(0), times=2))
        async with open_registry(access, backoff=Backoff(attempts=1)) as client:
            with pytest.raises(ImagePushFailed, match="dropped the connection"):
                await copy_image(Place(client, other), image.digest, Place(client, repository), "one")
            assert await Manifests(client, repository).head("one") == earlier.digest
        assert fault.met == 2

    async def test_a_tag_that_somebody_moved_meanwhile_stays(
        self, registry: RunningRegistry, repository: str, archive: Path, earlier: PushedImage, tmp_path: Path
    ) -> None:
        journal = Journal()
        await push(archive, registry.access, repository, journal)
        write_archive(tmp_path / "later.tar", MIB, seed=8)
        _, later = await push(tmp_path / "later.tar", registry.access, repository)
        async with open_registry(registry.access) as client:
            await undo_push(
                client,
                repository,
                manifests=journal.manifests,
                tag="one",
                former_tag_digest=journal.former_tag_digest,
            )
        assert await tagged(registry, repository) == later.digest

    async def test_removing_one_image_leaves_a_tag_that_names_another(
        self, registry: RunningRegistry, repository: str, archive: Path, earlier: PushedImage
    ) -> None:
        _, newest = await push(archive, registry.access, repository)
        async with open_registry(registry.access) as client:
            await remove_image(client, repository, earlier.digest, layer=earlier.blobs[0])
            assert await Manifests(client, repository).head(earlier.digest) is None
        assert await tagged(registry, repository) == newest.digest

    async def test_removing_the_newest_image_leaves_the_earlier_one(
        self, registry: RunningRegistry, repository: str, archive: Path, earlier: PushedImage
    ) -> None:
        _, newest = await push(archive, registry.access, repository)
        async with open_registry(registry.access) as client:
            await remove_image(client, repository, newest.digest, layer=newest.blobs[0])
            assert await Manifests(client, repository).head(earlier.digest) == earlier.digest
        assert await tagged(registry, repository) is None
