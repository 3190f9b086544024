"""What may stand in a checkpoint archive: the names that containerd, CRI-O and CRIU write, and limits.

Regular files and folders only: a runtime unpacks an image's layer as root, and a link, a device or an overlay
attribute in it would reach beyond the container. Known names only: every file that a restore reads is one of these.
Sources of the names: containerd 2.1-2.2 (internal/cri/server/container_checkpoint_linux.go), CRI-O 1.34
(internal/lib/checkpoint.go), checkpointctl 1.6 (lib/metadata.go), CRIU's image descriptors (criu/image-desc.c).
"""

import re
from dataclasses import dataclass

from ksnap.criu.tar_header import FOLDER, REGULAR, TarHeader, bad_archive
from ksnap.errors import TooLarge

CONFIG_DUMP = "config.dump"
SPEC_DUMP = "spec.dump"
STATUS_DUMP = "status.dump"
CONTAINERD_STATUS = "status"
STATS_DUMP = "stats-dump"
DUMP_LOG = "dump.log"
DESCRIPTORS = "checkpoint/descriptors.json"
INVENTORY = "checkpoint/inventory.img"
FREEZE_MARK = "checkpoint/ksnap-freeze.img"
"""Ours, left by ksnap-runc where an archive's images were written elsewhere; never a part of a checkpoint."""

LOG_NAMES = frozenset({"container.log", "ctr.log", "io.kubernetes.cri-o.LogPath"})
"""What the application printed: containerd's name, an older one, CRI-O's."""
_DOCUMENTS = frozenset({CONFIG_DUMP, SPEC_DUMP, STATUS_DUMP, CONTAINERD_STATUS, STATS_DUMP, DESCRIPTORS,
                        "bind.mounts", "network.status"})  # fmt: skip
_FILES = frozenset({DUMP_LOG, "rootfs-diff.tar", "deleted.files", "devshm-checkpoint.tar"})
_FOLDERS = frozenset({"", "checkpoint", "volumes"})
_CRIU_IMAGE = re.compile(r"checkpoint/[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}\.img")
_CRIU_EXTRA = frozenset({"checkpoint/dump.log", "checkpoint/stats-dump"})
_VOLUME = re.compile(r"volumes/[A-Za-z0-9][A-Za-z0-9_.-]{0,200}\.tar")
_PAX_KNOWN = frozenset({"path", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"})
# Any other attribute could steer an overlay file system (trusted.overlay.*) or a program that trusts user.*.
_PAX_ATTRIBUTES = frozenset({f"SCHILY.xattr.security.{each}" for each in ("capability", "ima", "selinux")})


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bounds of one archive; past any of them it is refused."""

    max_bytes: int = 1 << 40
    max_document_bytes: int = 4 << 20
    """Of each JSON member. A container's spec with a full environment has some 100 kB."""
    max_members: int = 100_000
    """CRIU writes about six files for each process; the names are kept to find duplicates, some 10 MB at this bound."""


def check_total(size: int, limits: ArchiveLimits) -> None:
    if size > limits.max_bytes:
        raise TooLarge(
            "The checkpoint archive is larger than allowed",
            details=f"more than {limits.max_bytes} bytes",
            hint="Raise the limit of the archive's size, or checkpoint a smaller container",
        )


def check_pax(records: dict[str, str]) -> None:
    """Refuse records that make a member something else than a plain file, or that readers take in two ways.

    An empty value takes a record back (POSIX): Go then goes by the header's own field, others by the empty one.
    """
    for name, value in records.items():
        if not value:
            raise bad_archive(f"PAX record {name[:80]!r} is empty")
        if name not in _PAX_KNOWN and name not in _PAX_ATTRIBUTES:
            raise bad_archive(f"PAX record {name[:80]!r} is not allowed")


def member_name(header: TarHeader, limits: ArchiveLimits) -> str:
    """The member's name without `./` and a folder's slash, once its kind, name and size are allowed."""
    if header.kind not in REGULAR and header.kind != FOLDER:
        raise bad_archive(f"{header.name[:200]!r} is neither a regular file nor a folder (type {header.kind!r})")
    folder = header.kind == FOLDER
    name = _relative(header.name, folder=folder)
    if folder:
        if header.size:
            raise bad_archive(f"the folder {name!r} has a size")
        if name not in _FOLDERS:
            raise bad_archive(f"the folder {name[:200]!r} does not belong into a checkpoint archive")
        return name
    if name in _DOCUMENTS or name == FREEZE_MARK:
        if header.size > limits.max_document_bytes:
            raise bad_archive(f"{name!r} has {header.size} bytes, more than {limits.max_document_bytes}")
    elif not _known_file(name):
        raise bad_archive(f"the file {name[:200]!r} does not belong into a checkpoint archive")
    return name


def _known_file(name: str) -> bool:
    if name in _FILES or name in LOG_NAMES or name in _CRIU_EXTRA:
        return True
    return bool(_CRIU_IMAGE.fullmatch(name) or _VOLUME.fullmatch(name))


def _relative(text: str, *, folder: bool) -> str:
    name = text
    while name.startswith("./"):
        name = name[2:]
    if folder:
        name = name.removesuffix("/")
        if name in ("", "."):
            return ""
    parts = name.split("/")
    if name.startswith("/") or not name or any(part in ("", ".", "..") for part in parts):
        raise bad_archive(f"the name {text[:200]!r} is not a plain relative path")
    return name
