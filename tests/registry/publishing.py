"""An archive pushed as an agent does it, into a repository of the test's own.

The fixture `archive` stands in conftest.py.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from ksnap.agent.archive_source import ArchiveSource
from ksnap.agent.publish import pack_archive, push_archive
from ksnap.model.checkpoint_image import ArchiveFacts, PushedImage
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget
from ksnap.registry.manifests import Manifests
from tests.parties.registry import QUICK, RunningRegistry

CREATED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MIB = 1 << 20


class Journal:
    """A push log that keeps everything."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.blobs: list[str] = []
        self.manifests: list[str] = []
        self.former_tag_digest: str | None = None

    def upload_started(self, location: str) -> None:
        self.started.append(location)

    def upload_ended(self, location: str) -> None:
        self.ended.append(location)

    def blob_pushed(self, digest: str) -> None:
        self.blobs.append(digest)

    def manifest_pushed(self, digest: str) -> None:
        self.manifests.append(digest)

    def tag_found(self, digest: str) -> None:
        self.former_tag_digest = digest


def target(repository: str, tag: str = "one") -> ImageTarget:
    return ImageTarget(repository, tag, {"ksnap.dev/key": "k"}, "x86_64", CREATED)


async def push(
    source: ArchiveSource, access: RegistryAccess, repository: str, journal: Journal | None = None
) -> tuple[ArchiveFacts, PushedImage]:
    return await push_archive(source, registry=access, target=target(repository), log=journal, timeouts=QUICK)


async def tagged(registry: RunningRegistry, repository: str, tag: str = "one") -> str | None:
    async with open_registry(registry.access) as client:
        return await Manifests(client, repository).head(tag)


async def packed(archive: Path) -> tuple[ArchiveFacts, bytes]:
    pieces: list[bytes] = []

    async def keep(stream: AsyncIterator[bytes]) -> None:
        pieces.extend([piece async for piece in stream])

    result, _ = await pack_archive(archive, keep)
    return result.facts, b"".join(pieces)
