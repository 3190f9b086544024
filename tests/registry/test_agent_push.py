"""The agent's own push, with a journal on the disk: the key that came with the request signs and is written nowhere."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ksnap.agent import transfer
from ksnap.agent.capture import Capture
from ksnap.agent.journal import Journal, JournalEntry, without_credentials
from ksnap.errors import ImagePushFailed, InvalidInput
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureRequest, RegistryDestination
from ksnap.registry.client import open_registry
from ksnap.registry.signatures import verified_claims
from tests.parties.archives import small_archive
from tests.parties.checkpoint_keys import KEY, new_key
from tests.parties.fault_proxy import Answer, Fault, FaultProxy
from tests.parties.registry import RunningRegistry, needs_registry

pytestmark = needs_registry
OURS = new_key()
AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_blocking() -> None:
    """The journal blocks on purpose (`JournaledPush`): not asked of these tests."""


def destination(access: RegistryAccess, repository: str, key: SecretStr | None = OURS.pem) -> RegistryDestination:
    return RegistryDestination(registry=access, repository=repository, tag="one", signing_key=key)


def capture_of(folder: Path, wanted: RegistryDestination) -> Capture:
    """A capture whose archive is written."""
    (folder / "archive.tar").write_bytes(small_archive())
    request = CaptureRequest(
        namespace="shop",
        pod="web",
        pod_uid="1",
        container="app",
        container_id="containerd://" + "a" * 64,
        destination=wanted,
        annotations=KEY.annotations(),
    )
    journal = Journal(folder)
    journal.prepare()
    entry = JournalEntry(
        id="c1",
        request=without_credentials(request),
        created_at=AT,
        changed_at=AT,
        archive_path=str(folder / "archive.tar"),
    )
    return Capture(entry, journal)


def journaled(folder: Path) -> JournalEntry:
    return JournalEntry.model_validate_json((folder / "journal" / "c1.json").read_text())


def left(registry: RunningRegistry, repository: str) -> list[Path]:
    root = registry.folder / "docker/registry/v2/repositories" / repository
    return [*root.glob("_manifests/revisions/sha256/*/link"), *root.glob("_layers/sha256/*/link")]


async def test_it_signs_with_the_requests_key_and_undoes_all(
    registry: RunningRegistry, repository: str, tmp_path: Path
) -> None:
    wanted = destination(registry.access, repository)
    capture = capture_of(tmp_path, wanted)
    await transfer.push(capture, wanted)
    await transfer.verify(capture, wanted)
    image = journaled(tmp_path).image
    assert image is not None
    async with open_registry(registry.access) as client:
        claims = await verified_claims(client, repository, image.digest, [OURS.public_key])
    assert claims.key == KEY
    secret = OURS.pem.get_secret_value().splitlines()[1]
    for file in (tmp_path / "journal").iterdir():
        assert secret not in file.read_text()
    assert journaled(tmp_path).manifests == [image.signature_digest, image.manifest_digest, image.digest]
    await transfer.undo(capture, registry.access)
    assert left(registry, repository) == []
    assert journaled(tmp_path).manifests == []


async def test_an_older_servers_request_is_pushed_unsigned(
    registry: RunningRegistry, repository: str, tmp_path: Path
) -> None:
    wanted = destination(registry.access, repository, None)
    capture = capture_of(tmp_path, wanted)
    await transfer.push(capture, wanted)
    assert capture.entry.image is not None
    assert capture.entry.image.signature_digest == ""


async def test_a_restarted_agent_takes_the_former_ones_signature_out_as_well(
    registry: RunningRegistry, proxy: FaultProxy, access: RegistryAccess, repository: str, tmp_path: Path
) -> None:
    """The first try ended between signature and tag; the second goes on from its journal."""
    wanted = destination(access, repository)
    proxy.add(Fault("PUT", "/manifests/one", Answer(403), times=None))
    with pytest.raises(ImagePushFailed):
        await transfer.push(capture_of(tmp_path, wanted), wanted)
    again = Capture(journaled(tmp_path), Journal(tmp_path))
    with pytest.raises(ImagePushFailed):
        await transfer.push(again, wanted)
    assert left(registry, repository)
    await transfer.undo(again, access)
    assert left(registry, repository) == []


async def test_a_key_that_is_none_is_refused_before_anything_is_pushed(
    registry: RunningRegistry, repository: str, tmp_path: Path
) -> None:
    wanted = destination(registry.access, repository, SecretStr("no key"))
    with pytest.raises(InvalidInput, match="signing key cannot be read"):
        await transfer.push(capture_of(tmp_path, wanted), wanted)
    assert left(registry, repository) == []
