"""What an agent removes from a registry after a failed capture, and what it says and remembers if it cannot."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ksnap.agent.capture import Capture
from ksnap.agent.captures import Captures
from ksnap.agent.journal import Journal
from ksnap.agent.publish import push_archive
from ksnap.agent.settings import AgentSettings
from ksnap.agent.transfer import JournaledPush
from ksnap.errors import NotFound
from ksnap.model.checkpoint_image import PushedImage
from ksnap.model.registry_access import RegistryAccess
from ksnap.node.protocol import CaptureStatus, RegistryDestination, Stage, WireError
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget
from ksnap.registry.manifests import Manifests
from tests.parties.archives import write_archive
from tests.parties.fault_proxy import Answer, Fault, FaultProxy
from tests.parties.node_agent import agent_settings, is_journaled, kubelet_of, lay_entry, request
from tests.parties.registry import RunningRegistry, needs_registry, start_registry

pytestmark = needs_registry
UNSUPPORTED = Answer(405, b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}')
FAILED = WireError(code="JOB_CANCELLED", status=409, message="The checkpoint was cancelled")


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    return agent_settings(tmp_path)


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image in a registry, pushed by a capture."""

    image: PushedImage
    destination: RegistryDestination

    @property
    def listed(self) -> dict[str, Any]:
        """As the capture's journal has it."""
        return {
            "uploaded_blobs": self.image.blobs,
            "manifests": [self.image.manifest_digest, self.image.digest],
            "image": self.image,
        }


async def pushed(folder: Path, access: RegistryAccess, repository: str, *, seed: int = 1) -> Pushed:
    archive = folder / "checkpoint.tar"
    write_archive(archive, 100_000, seed=seed)
    target = ImageTarget(repository, "newest", {}, "amd64", datetime.now(UTC))
    _, image = await push_archive(archive, registry=access, target=target)
    return Pushed(image, RegistryDestination(registry=access, repository=repository, tag="newest"))


async def named_by_tag(access: RegistryAccess, repository: str) -> str | None:
    async with open_registry(access) as client:
        return await Manifests(client, repository).head("newest")


@pytest.fixture
async def no_deletion(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningRegistry]:
    """docker-registry as it is without configuration."""
    off = {"REGISTRY_STORAGE_DELETE_ENABLED": "false"}
    with start_registry(tmp_path_factory.mktemp("fixed"), tls=False, password=False, settings=off) as running:
        yield running


async def test_image_that_cannot_be_removed_is_told_and_remembered(
    no_deletion: RunningRegistry, settings: AgentSettings, tmp_path: Path, repository: str
) -> None:
    ours = await pushed(tmp_path, no_deletion.access, repository)
    asked = request(ours.destination)
    await asyncio.to_thread(lay_entry, settings, "c1", asked, stage=Stage.VERIFYING, **ours.listed)
    async with Captures(settings, kubelet_of(settings)) as captures:
        for _ in range(2):
            state = await captures.delete("c1", no_deletion.access)
            assert state.status is CaptureStatus.CANCELLED
            assert state.is_left_in_registry
            assert ours.image.digest in state.manifests
        assert captures.get("c1").state() == state
    assert is_journaled(settings, "c1")
    assert await named_by_tag(no_deletion.access, repository) == ours.image.digest


async def test_repeated_delete_tries_again_and_then_forgets(
    proxy: FaultProxy, access: RegistryAccess, settings: AgentSettings, tmp_path: Path, repository: str
) -> None:
    ours = await pushed(tmp_path, access, repository)
    await asyncio.to_thread(lay_entry, settings, "c1", request(ours.destination), stage=Stage.VERIFYING, **ours.listed)
    proxy.add(Fault("DELETE", "/manifests/", UNSUPPORTED, times=4))
    async with Captures(settings, kubelet_of(settings)) as captures:
        assert (await captures.delete("c1", access)).is_left_in_registry
        assert not (await captures.delete("c1", access)).is_left_in_registry
        with pytest.raises(NotFound):
            captures.get("c1")
    assert not is_journaled(settings, "c1")
    assert await named_by_tag(access, repository) is None


async def test_registrys_part_of_an_undo_is_done_when_credentials_come(
    registry: RunningRegistry, settings: AgentSettings, tmp_path: Path, repository: str
) -> None:
    """The former agent was ended while it undid; this one ends the capture, which nobody gave it credentials for."""
    ours = await pushed(tmp_path, registry.access, repository)
    await asyncio.to_thread(
        lay_entry,
        settings,
        "c1",
        request(ours.destination),
        stage=Stage.CLEANING,
        status=CaptureStatus.INTERRUPTED,
        error=FAILED,
        cancelled=True,
        **ours.listed,
    )
    async with Captures(settings, kubelet_of(settings)) as captures:
        without = await captures.delete("c1", None)
        assert without.status is CaptureStatus.CANCELLED
        assert without.is_left_in_registry
        done = await captures.delete("c1", registry.access)
    assert not done.is_left_in_registry
    assert not is_journaled(settings, "c1")
    assert await named_by_tag(registry.access, repository) is None


async def test_earlier_image_has_its_tag_again_after_a_cancelled_capture(
    registry: RunningRegistry, settings: AgentSettings, tmp_path: Path, repository: str
) -> None:
    earlier = await pushed(tmp_path, registry.access, repository)
    ours = await pushed(tmp_path, registry.access, repository, seed=2)
    await asyncio.to_thread(
        lay_entry,
        settings,
        "c1",
        request(ours.destination),
        stage=Stage.VERIFYING,
        former_tag_digest=earlier.image.digest,
        **ours.listed,
    )
    async with Captures(settings, kubelet_of(settings)) as captures:
        await captures.delete("c1", registry.access)
    assert await named_by_tag(registry.access, repository) == earlier.image.digest


def test_journal_keeps_what_the_tag_named_before_the_captures_first_try(settings: AgentSettings) -> None:
    """A resumed push finds the tag at its own index."""
    asked = request(RegistryDestination(registry=RegistryAccess(host="r"), repository="shop/web", tag="newest"))
    capture = Capture(lay_entry(settings, "c1", asked), Journal(settings.state_dir))
    push = JournaledPush(capture)
    push.tag_found("sha256:earlier")
    push.manifest_pushed("sha256:ours")
    push.tag_found("sha256:ours")

    assert next(Journal(settings.state_dir).entries()).former_tag_digest == "sha256:earlier"
