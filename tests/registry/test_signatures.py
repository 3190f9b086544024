"""Signatures pushed to the real registry, copied, removed, and verified through answers that a proxy changes."""

import asyncio
import json
import os
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from dev.cluster.tools import tool
from ksnap.agent.publish import push_archive
from ksnap.errors import ImagePushFailed, ImageUntrusted, InvalidInput, RegistryConnectionFailed
from ksnap.model.checkpoint_image import PushedImage
from ksnap.model.digest import Digest, parse_digest
from ksnap.model.registry_access import RegistryAccess
from ksnap.oci.checkpoint_image import Document
from ksnap.oci.parse import parse_manifest
from ksnap.oci.signature import new_signature, parse_signatures, signature_image, signature_tag, signed_payload
from ksnap.oci.signing_keys import SigningKey
from ksnap.registry.client import open_registry
from ksnap.registry.image_copy import Place, copy_image
from ksnap.registry.image_push import ImageTarget, undo_push
from ksnap.registry.image_removal import remove_image
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import Signing, verified_claims
from tests.parties.archives import small_archive
from tests.parties.checkpoint_keys import KEY, new_key, signing_by
from tests.parties.fault_proxy import Answer, Corrupt, CutAnswer, Fault, FaultProxy
from tests.parties.registry import PASSWORD, QUICK, USERNAME, RunningRegistry, needs_registry
from tests.registry.publishing import Journal

pytestmark = needs_registry
CREATED = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
OURS = new_key()
SIGNATURE = r"/manifests/sha256-"


async def push(
    access: RegistryAccess,
    repository: str,
    *,
    key: SigningKey | None = OURS,
    journal: Journal | None = None,
    tag: str = "one",
) -> PushedImage:
    signing = signing_by(key) if key is not None else None
    target = ImageTarget(repository, tag, KEY.annotations(), "x86_64", CREATED, signing)

    async def archive() -> AsyncIterator[bytes]:
        yield small_archive()

    _, image = await push_archive(archive, registry=access, target=target, log=journal, timeouts=QUICK)
    return image


async def claims_of(access: RegistryAccess, repository: str, digest: str, *keys: SigningKey) -> str:
    """The id of the key that vouches."""
    async with open_registry(access, timeouts=QUICK) as client:
        found = await verified_claims(client, repository, digest, [each.public_key for each in keys or (OURS,)])
    assert (found.digest, found.key, found.annotations) == (digest, KEY, KEY.annotations())
    return found.key_id


async def refusal(access: RegistryAccess, repository: str, digest: str, *keys: SigningKey) -> ImageUntrusted:
    with pytest.raises(ImageUntrusted) as caught:
        await claims_of(access, repository, digest, *keys)
    return caught.value


async def signatures_of(access: RegistryAccess, repository: str, digest: str) -> int:
    async with open_registry(access) as client:
        found = await Manifests(client, repository).get(signature_tag(parse_digest(digest)))
    return len(parse_signatures(found.data))


async def put(access: RegistryAccess, repository: str, reference: str, document: Document) -> None:
    async with open_registry(access) as client:
        await Manifests(client, repository).put(document, reference)


def traces(registry: RunningRegistry, repository: str) -> list[str]:
    """Manifests, tags and blobs that the repository still has."""
    root = registry.folder / "docker/registry/v2/repositories" / repository
    links = ("_manifests/revisions/sha256/*/link", "_manifests/tags/*/current/link", "_layers/sha256/*/link")
    return sorted(str(found.relative_to(root)) for each in links for found in root.glob(each))


class TestPushed:
    async def test_a_pushed_image_is_signed_with_its_whole_key(
        self, registry: RunningRegistry, repository: str
    ) -> None:
        image = await push(registry.access, repository)
        async with open_registry(registry.access) as client:
            claims = await verified_claims(client, repository, image.digest, [new_key().public_key, OURS.public_key])
            found = await Manifests(client, repository).get(signature_tag(parse_digest(image.digest)))
        assert (claims.key, claims.key_id) == (KEY, OURS.public_key.key_id)
        assert claims.reference == f"{registry.host}/{repository}"
        assert found.digest == image.signature_digest

    async def test_the_signature_is_there_before_the_tag(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        await push(access, repository)
        puts = [each.path for each in proxy.requests if each.method == "PUT" and "/manifests/" in each.path]
        [signature] = [at for at, path in enumerate(puts) if "/manifests/sha256-" in path]
        assert puts[-1].endswith("/manifests/one")
        assert signature < len(puts) - 1

    async def test_without_a_key_there_is_no_signature(self, registry: RunningRegistry, repository: str) -> None:
        image = await push(registry.access, repository, key=None)
        assert image.signature_digest == ""
        error = await refusal(registry.access, repository, image.digest)
        assert error.reason == "unsigned"
        assert image.digest in error.details

    async def test_a_second_push_finds_the_signature_there(self, registry: RunningRegistry, repository: str) -> None:
        first = await push(registry.access, repository)
        before, journal = traces(registry, repository), Journal()
        second = await push(registry.access, repository, journal=journal)
        assert (second.digest, second.signature_digest) == (first.digest, first.signature_digest)
        assert (journal.blobs, journal.manifests) == ([], [])
        assert traces(registry, repository) == before

    async def test_a_signature_of_another_key_stays_beside_ours(
        self, registry: RunningRegistry, repository: str
    ) -> None:
        """Keys are changed while images live: both stay verifiable."""
        old = new_key()
        image = await push(registry.access, repository, key=old)
        await push(registry.access, repository)
        assert await claims_of(registry.access, repository, image.digest, old) == old.public_key.key_id
        assert await claims_of(registry.access, repository, image.digest) == OURS.public_key.key_id
        assert await signatures_of(registry.access, repository, image.digest) == 2

    async def test_what_was_no_signature_is_replaced(self, registry: RunningRegistry, repository: str) -> None:
        image = await push(registry.access, repository, key=None)
        async with open_registry(registry.access) as client:
            manifests = Manifests(client, repository)
            other = await manifests.get(image.manifest_digest)
            document = Document(other.media_type, other.data, other.digest)
            await manifests.put(document, signature_tag(parse_digest(image.digest)))
        assert (await refusal(registry.access, repository, image.digest)).reason == "unsigned"
        await push(registry.access, repository)
        assert await claims_of(registry.access, repository, image.digest)

    async def test_an_incomplete_key_is_refused_before_anything_is_pushed(self) -> None:
        with pytest.raises(InvalidInput, match="Not a checkpoint key"):
            Signing(signing_by(OURS).signer, {"ksnap.dev/key": "k"})


class TestUndone:
    async def test_undo_takes_the_signature_out(self, registry: RunningRegistry, repository: str) -> None:
        journal = Journal()
        image = await push(registry.access, repository, journal=journal)
        # Undone from its end: the index, which the tag names, goes before its signature.
        assert journal.manifests == [image.signature_digest, image.manifest_digest, image.digest]
        async with open_registry(registry.access) as client:
            for _ in range(2):
                await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)
        assert traces(registry, repository) == []

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("PUT", "/manifests/one", Answer(403)),
            Fault("PUT", SIGNATURE, Answer(403)),
            Fault("GET", SIGNATURE, Answer(403)),
        ],
    )
    async def test_a_failed_push_leaves_no_tag_and_can_be_undone(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, fault: Fault
    ) -> None:
        journal = Journal()
        proxy.add(replace(fault))
        with pytest.raises((ImagePushFailed, RegistryConnectionFailed)):
            await push(access, repository, journal=journal)
        assert not any(each.endswith("/tags/one/current/link") for each in traces(registry, repository))
        async with open_registry(registry.access) as client:
            await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)
        assert traces(registry, repository) == []

    async def test_undoing_a_failed_second_push_leaves_the_first_ones_signature(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        old, journal = new_key(), Journal()
        image = await push(access, repository, key=old)
        proxy.add(Fault("PUT", "/manifests/two", Answer(403)))
        with pytest.raises(ImagePushFailed):
            await push(access, repository, journal=journal, tag="two")
        async with open_registry(registry.access) as client:
            await undo_push(client, repository, blobs=journal.blobs, manifests=journal.manifests)
        assert await claims_of(registry.access, repository, image.digest, old)


class TestRemoved:
    async def test_a_removed_image_takes_its_signatures_along(self, registry: RunningRegistry, repository: str) -> None:
        image = await push(registry.access, repository, key=new_key())
        await push(registry.access, repository)
        async with open_registry(registry.access) as client:
            for _ in range(2):
                await remove_image(client, repository, image.digest, layer=image.blobs[0])
            assert await Manifests(client, repository).head(signature_tag(parse_digest(image.digest))) is None
        left = traces(registry, repository)
        # The first signature's manifest lost its tag when the second one took it, as any manifest does.
        assert [each for each in left if "/tags/" in each] == []
        assert len([each for each in left if "/revisions/" in each]) == 1

    async def test_a_signature_tag_that_names_an_image_removes_no_image(
        self, registry: RunningRegistry, repository: str
    ) -> None:
        """Whoever may push, and not delete, could otherwise have others' images deleted."""
        victim = await push(registry.access, repository, key=None)
        digest = parse_digest("sha256:" + "c" * 64)
        async with open_registry(registry.access) as client:
            manifests = Manifests(client, repository)
            found = await manifests.get(victim.manifest_digest)
            await manifests.put(Document(found.media_type, found.data, found.digest), signature_tag(digest))
            await remove_image(client, repository, digest, layer="sha256:" + "d" * 64)
            assert await manifests.head(victim.manifest_digest) == victim.manifest_digest
            layer = parse_manifest(found.data).layers[0].digest
        assert any(layer.removeprefix("sha256:") in each for each in traces(registry, repository))


class TestCopied:
    async def copied(
        self, access: RegistryAccess, source: str, digest: str, target: str, *, signing: Signing | None = None
    ) -> PushedImage:
        async with open_registry(access, timeouts=QUICK) as client:
            return await copy_image(Place(client, source), digest, Place(client, target), "copy", signing=signing)

    async def test_a_copy_is_as_signed_as_its_source(self, registry: RunningRegistry, repository: str) -> None:
        image = await push(registry.access, repository)
        for _ in range(2):
            copy = await self.copied(registry.access, repository, image.digest, f"{repository}-2")
            assert (copy.digest, copy.signature_digest) == (image.digest, image.signature_digest)
        assert await claims_of(registry.access, f"{repository}-2", image.digest)

    async def test_a_copy_of_an_unsigned_image_is_signed_on_its_way(
        self, registry: RunningRegistry, repository: str
    ) -> None:
        image = await push(registry.access, repository, key=None)
        copy = await self.copied(registry.access, repository, image.digest, f"{repository}-2")
        assert copy.signature_digest == ""
        copy = await self.copied(registry.access, repository, image.digest, f"{repository}-2", signing=signing_by(OURS))
        assert copy.signature_digest
        assert await claims_of(registry.access, f"{repository}-2", image.digest)

    async def test_a_copy_onto_itself_signs_once(self, registry: RunningRegistry, repository: str) -> None:
        image = await push(registry.access, repository)
        before = traces(registry, repository)
        copy = await self.copied(registry.access, repository, image.digest, repository, signing=signing_by(OURS))
        assert copy.signature_digest == image.signature_digest
        assert [each for each in traces(registry, repository) if "/tags/copy/" not in each] == before

    async def test_signatures_of_both_places_are_kept(self, registry: RunningRegistry, repository: str) -> None:
        other = new_key()
        image = await push(registry.access, repository)
        await push(registry.access, f"{repository}-2", key=other)
        await self.copied(registry.access, repository, image.digest, f"{repository}-2")
        for key in (OURS, other):
            assert await claims_of(registry.access, f"{repository}-2", image.digest, key) == key.public_key.key_id

    async def test_a_failed_copy_takes_the_signature_out_again(
        self, registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str
    ) -> None:
        image = await push(registry.access, repository)
        proxy.add(Fault("PUT", "/manifests/copy", Answer(403)))
        with pytest.raises(ImagePushFailed):
            await self.copied(access, repository, image.digest, f"{repository}-2")
        assert traces(registry, f"{repository}-2") == []


class TestNotBelieved:
    @pytest.fixture
    async def image(self, registry: RunningRegistry, repository: str) -> PushedImage:
        return await push(registry.access, repository)

    @pytest.fixture
    async def payload(self, registry: RunningRegistry, repository: str, image: PushedImage) -> Digest:
        async with open_registry(registry.access) as client:
            found = await Manifests(client, repository).get(image.signature_digest)
        return parse_signatures(found.data)[0].payload.digest

    async def test_another_installations_signature(
        self, registry: RunningRegistry, repository: str, image: PushedImage
    ) -> None:
        stranger = new_key()
        error = await refusal(registry.access, repository, image.digest, stranger)
        assert error.reason == "unknown"
        assert stranger.public_key.key_id[:16] in error.details

    async def test_a_signature_that_is_gone(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage
    ) -> None:
        proxy.add(Fault("GET", SIGNATURE, Answer(404)))
        assert (await refusal(access, repository, image.digest)).reason == "unsigned"
        assert await claims_of(access, repository, image.digest)

    async def test_a_payload_that_is_gone(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        proxy.add(Fault("GET", f"/blobs/{payload}", Answer(404)))
        error = await refusal(access, repository, image.digest)
        assert error.reason == "altered"
        assert "not in the registry" in error.details

    async def test_a_payload_with_one_other_bit(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        proxy.add(Fault("GET", f"/blobs/{payload}", Corrupt(100)))
        error = await refusal(access, repository, image.digest)
        assert error.reason == "altered"
        assert "digest differs" in error.details

    async def test_another_payload(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        proxy.add(Fault("GET", f"/blobs/{payload}", Answer(200, b'{"critical":{}}')))
        assert (await refusal(access, repository, image.digest)).reason == "altered"

    async def test_a_payload_without_end(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        proxy.add(Fault("GET", f"/blobs/{payload}", Answer(200, bytes(8 << 20))))
        error = await refusal(access, repository, image.digest)
        assert "more than 65536 bytes" in error.details

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"layers": []}', b"[" * 100_000])
    async def test_another_thing_under_the_tag(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, body: bytes
    ) -> None:
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        proxy.add(Fault("GET", SIGNATURE, Answer(200, body, headers)))
        assert (await refusal(access, repository, image.digest)).reason == "unsigned"

    async def test_the_signature_of_another_image(
        self, registry: RunningRegistry, repository: str, image: PushedImage
    ) -> None:
        """Ours, sound, and put under another image's tag."""
        digest = parse_digest("sha256:" + "e" * 64)
        async with open_registry(registry.access) as client:
            manifests = Manifests(client, repository)
            found = await manifests.get(image.signature_digest)
            await manifests.put(Document(found.media_type, found.data, found.digest), signature_tag(digest))
        error = await refusal(registry.access, repository, digest)
        assert error.reason == "altered"
        assert image.digest in error.details

    async def test_a_signature_that_was_changed_beside_a_stranger(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        """The one of ours that does not fit is the one that is told, wherever it stands."""
        signed = signed_payload(f"{proxy.host}/{repository}", parse_digest(image.digest), KEY.annotations())
        strange = new_signature(signed, new_key().sign(signed.data))
        broken = replace(strange, layer={**strange.layer, "annotations": {}})
        cut = replace(broken, layer={**strange.layer, "annotations": {"dev.cosignproject.cosign/signature": "MEQ"}})
        document = signature_image([broken, strange, cut]).manifest
        body = document.data.replace(signed.digest.encode(), payload.encode())
        proxy.add(Fault("GET", SIGNATURE, Answer(200, body, {"Content-Type": document.media_type})))
        error = await refusal(access, repository, image.digest)
        assert error.reason == "altered"
        assert "no base64" in error.details

    async def test_a_connection_that_breaks_says_nothing_about_the_image(
        self, proxy: FaultProxy, access: RegistryAccess, repository: str, image: PushedImage, payload: Digest
    ) -> None:
        for path in (SIGNATURE, f"/blobs/{payload}"):
            once = proxy.add(Fault("GET", path, CutAnswer(20)))
            assert await claims_of(access, repository, image.digest)
            assert once.met == 1
            always = proxy.add(Fault("GET", path, CutAnswer(0), times=None))
            with pytest.raises(RegistryConnectionFailed):
                await claims_of(access, repository, image.digest)
            proxy.faults.remove(always)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
class TestCosign:
    """What anyone can do with the public key. Building cosign takes minutes."""

    @pytest_asyncio.fixture
    async def environment(self, registry: RunningRegistry, tmp_path: Path) -> dict[str, str]:
        pair = b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": pair}}}))
        (tmp_path / "cosign.pub").write_text(OURS.public_key.pem)
        (tmp_path / "other.pub").write_text(new_key().public_key.pem)
        return {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "DOCKER_CONFIG": str(tmp_path),
            "SSL_CERT_FILE": str(registry.certificate.ca),
        }

    async def verify(
        self, environment: dict[str, str], key: str, image: str, *more: str
    ) -> subprocess.CompletedProcess[str]:
        cosign = await asyncio.to_thread(tool, "cosign")
        return await asyncio.to_thread(
            subprocess.run,
            [str(cosign), "verify", "--key", key, "--insecure-ignore-tlog=true", *more, image],
            env=environment,
            cwd=environment["HOME"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    async def test_it_accepts_ours_and_shows_the_key(
        self, registry: RunningRegistry, repository: str, environment: dict[str, str]
    ) -> None:
        image = await push(registry.access, repository)
        for reference in (f"{registry.host}/{repository}@{image.digest}", f"{registry.host}/{repository}:one"):
            done = await self.verify(environment, "cosign.pub", reference)
            assert done.returncode == 0, done.stderr
            [claims] = json.loads(done.stdout)
            assert claims["critical"]["image"] == {"docker-manifest-digest": image.digest}
            assert claims["optional"] == KEY.annotations()

    async def test_it_compares_the_parts_of_the_key(
        self, registry: RunningRegistry, repository: str, environment: dict[str, str]
    ) -> None:
        image = await push(registry.access, repository)
        reference = f"{registry.host}/{repository}@{image.digest}"
        done = await self.verify(environment, "cosign.pub", reference, "-a", "ksnap.dev/namespace=shop")
        assert done.returncode == 0, done.stderr
        done = await self.verify(environment, "cosign.pub", reference, "-a", "ksnap.dev/namespace=elsewhere")
        assert done.returncode != 0

    async def test_it_refuses_what_we_refuse(
        self, registry: RunningRegistry, repository: str, environment: dict[str, str]
    ) -> None:
        image = await push(registry.access, repository)
        done = await self.verify(environment, "other.pub", f"{registry.host}/{repository}@{image.digest}")
        assert done.returncode != 0
        unsigned = await push(registry.access, f"{repository}-2", key=None)
        done = await self.verify(environment, "cosign.pub", f"{registry.host}/{repository}-2@{unsigned.digest}")
        assert done.returncode != 0

    async def test_it_accepts_a_copy_with_two_signatures(
        self, registry: RunningRegistry, repository: str, environment: dict[str, str]
    ) -> None:
        image = await push(registry.access, repository, key=new_key())
        async with open_registry(registry.access) as client:
            source, target = Place(client, repository), Place(client, f"{repository}-2")
            await copy_image(source, image.digest, target, "copy", signing=signing_by(OURS))
        done = await self.verify(environment, "cosign.pub", f"{registry.host}/{repository}-2:copy")
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)) == 1
