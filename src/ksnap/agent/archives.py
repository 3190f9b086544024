"""The kubelet's folder of archives: what was there before, what is new, and the rule for removing.

A file is removed only if the journal proves that it is ours: it has the name that the kubelet gives to this
container's archives (`checkpoint-<pod>_<namespace>-<container>-<RFC 3339>.tar`, kubelet.go), and it was absent before
this capture asked for its dump, or the kubelet named it in its answer to us.
"""

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ksnap.criu.archive import ArchiveReader
from ksnap.criu.archive_rules import CONFIG_DUMP
from ksnap.criu.tar_header import BLOCK
from ksnap.errors import CheckpointFailed, InsufficientStorage

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)$")


@dataclass(frozen=True, slots=True)
class Archives:
    """One container's archives in the kubelet's folder."""

    folder: Path
    namespace: str
    pod: str
    container: str

    @property
    def prefix(self) -> str:
        return f"checkpoint-{self.pod}_{self.namespace}-{self.container}-"

    def names(self) -> list[str]:
        """The archives of this container that lie there now. No name holds `_`, so prefixes do not mix."""
        try:
            present = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in present if self.is_name(name))

    def is_name(self, name: str) -> bool:
        if not (name.startswith(self.prefix) and name.endswith(".tar")):
            return False
        return _TIME.match(name[len(self.prefix) : -len(".tar")]) is not None

    def new_since(self, before: list[str]) -> list[str]:
        """What was not there before: written for us, as only one dump of a container is under way at a time."""
        return [name for name in self.names() if name not in set(before)]

    def path_of_answer(self, answered: str) -> Path:
        """The archive that the kubelet named, refused if it is no archive of this container in this folder."""
        path = Path(answered)
        if path.parent != self.folder or not self.is_name(path.name):
            raise CheckpointFailed(
                "The kubelet named an archive that is not this container's",
                details=f"{answered[:200]!r} is not {self.folder}/{self.prefix}<time>.tar",
                hint="Set the agent's checkpoints folder to the kubelet's own",
            )
        return path


def archive_size(path: Path) -> int:
    """The size of a regular file of ours; links and other things are refused."""
    try:
        found = path.lstat()
    except FileNotFoundError as exc:
        raise CheckpointFailed(
            "The archive is not where the kubelet wrote it",
            details=str(path),
            hint="Check that the agent mounts the kubelet's checkpoints folder",
        ) from exc
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointFailed("The archive is not a regular file", details=str(path))
    return found.st_size


def check_container(path: Path, container_id: str) -> None:
    """The kubelet goes by the pod's name: refuse an archive of a container that took the meant one's place.

    The archive is validated whole when it is published.
    """
    try:
        document = read_document(path, CONFIG_DUMP)
        found = json.loads(document).get("id", "") if document is not None else ""
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise CheckpointFailed("The archive cannot be read", details=f"{path.name}: {type(exc).__name__}") from exc
    if found != container_id:
        raise CheckpointFailed(
            "Another container was frozen than the one that was meant",
            details=f"meant {container_id[:12]}, frozen {str(found)[:12] or 'unknown'}",
            hint="The container was restarted meanwhile; try again",
        )


def read_document(path: Path, name: str) -> bytes | None:
    """One of the members that `ArchiveReader` collects, read with seeks over all others; None if it is not there.

    By that reader and no library: its memory is bounded, and it sees what the validation will see.
    """
    reader = ArchiveReader()
    with path.open("rb") as file:
        while (found := reader.document(name)) is None and (block := file.read(BLOCK)):
            reader.feed(block)
            file.seek(reader.skippable, os.SEEK_CUR)
            reader.skip()
    return found


def remove_archive(path: Path) -> bool:
    """Remove an archive; False if it was gone already."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def check_free_space(folders: list[Path], *, wanted_bytes: int) -> None:
    """InsufficientStorage with figures, if one of the file systems that a dump writes to has less than that free."""
    for folder in folders:
        free = free_bytes(folder)
        if free is not None and free < wanted_bytes:
            raise InsufficientStorage(
                "The node's disk is too full for a checkpoint",
                details=f"{free:,} bytes are free at {folder}, {wanted_bytes:,} must be",
                hint="Free disk on the node, or lower the agent's min_free_bytes",
            )


def free_bytes(folder: Path) -> int | None:
    """Bytes that root may still write there; None if the folder is not mounted."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bfree * found.f_frsize
