"""The runtime engine's freeze: CRIU's images come straight into a folder of ours, past the copies of those between.

The kubelet is asked as ever, so that its and the runtime's own locks and checks hold. ksnap-runc, which is called in
the end, asks here whether the dump is ours; then it has CRIU write into our folder, and leaves a mark in place of the
images. The archive that the kubelet writes is small then, and its mark says that folder and archive are of one dump:
one that somebody else asked for in the same moment cannot be taken for ours, nor ours for theirs.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from ksnap.agent.archives import read_document
from ksnap.agent.evidence import bare_container_id
from ksnap.agent.journal import JournalEntry
from ksnap.agent.restore_messages import FreezeReply
from ksnap.criu.archive_rules import FREEZE_MARK
from ksnap.errors import CheckpointFailed

log = structlog.get_logger()

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DirectFreezes:
    """The dumps of this node whose images are to come to us; one folder for each capture."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "freezes"
        self._offers: dict[str, FreezeReply] = {}

    async def open(self, kept: Iterable[JournalEntry]) -> None:
        """Make the folder; what lies in it and belongs to no capture that is known goes."""
        paths = {each.images_path for each in kept}
        await asyncio.to_thread(self._prepare, paths)

    @asynccontextmanager
    async def offered(self, entry: JournalEntry) -> AsyncIterator[None]:
        """While inside, the next dump of the entry's container goes to our folder, whose name the entry then has."""
        container = bare_container_id(entry.request.container_id)
        path = self._folder / entry.id
        entry.images_path, entry.freeze_mark = str(path), secrets.token_hex(16)
        await asyncio.to_thread(_renew, path)
        self._offers[container] = FreezeReply(path=str(path), mark=entry.freeze_mark)
        try:
            yield
        finally:
            self._offers.pop(container, None)

    def answer(self, container_id: str) -> FreezeReply:
        """Where this container's dump goes. Once only: a second dump of it is somebody else's."""
        return self._offers.pop(container_id, FreezeReply())

    def _prepare(self, kept: set[str | None]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if str(path) not in kept:
                log.info("images_of_nobody_removed", path=str(path))
                remove_images(path)


async def settle(entry: JournalEntry, archive: Path) -> None:
    """Say of a written archive which engine it was. What the runtime engine was offered and did not take goes."""
    mark = await asyncio.to_thread(read_document, archive, FREEZE_MARK)
    if mark is None:
        await discard_images(entry)
        entry.freeze_engine = "kubelet"
        return
    if entry.images_path is None or mark.decode("latin-1") != entry.freeze_mark:
        raise CheckpointFailed(
            "The archive's images were written elsewhere",
            details=f"{archive.name} has the mark of another freeze of the container",
            hint="Two freezes of one container met; try again",
        )
    entry.freeze_engine = "runtime"
    entry.boot_id = await asyncio.to_thread(_boot_id)


async def discard_images(entry: JournalEntry) -> None:
    """Remove the folder; it may be gone already."""
    if entry.images_path is not None:
        await asyncio.to_thread(remove_images, Path(entry.images_path))
    entry.images_path, entry.freeze_mark = None, ""


def images_of(entry: JournalEntry) -> Path | None:
    """The folder that completes the entry's archive; None where the archive is whole by itself."""
    if entry.freeze_engine != "runtime" or entry.images_path is None:
        return None
    if entry.boot_id != _boot_id():
        raise CheckpointFailed(
            "The node was restarted before its images were published",
            details="they were not yet on its disk for certain",
            hint="Freeze the container again",
        )
    return Path(entry.images_path)


def images_size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


def remove_images(path: Path) -> None:
    """Remove a folder of images; OSError if something of it stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _renew(path: Path) -> None:
    """An empty folder: a former try may have left half of its images."""
    remove_images(path)
    path.mkdir(mode=0o700, parents=True)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
