"""Which path of a container may be downloaded, and the command that writes it as a tar. Pure."""

import posixpath
from dataclasses import dataclass

from ksnap.errors import InvalidInput

# PATH_MAX of Linux, with its end.
LONGEST = 4095


@dataclass(frozen=True, slots=True)
class WantedPath:
    """A file or folder: the folder that it is in, and its name there."""

    parent: str
    name: str

    @property
    def argv(self) -> list[str]:
        """Members are named from the file's own name on, whatever the path to it; `--` ends tar's options."""
        return ["tar", "-cf", "-", "-C", self.parent, "--", self.name]


def wanted_path(path: str) -> WantedPath:
    """The path taken apart; InvalidInput for what is none or might mean another place than it says."""
    if not path.startswith("/"):
        raise _refused(path, "it must begin with /")
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST:
        raise _refused(path, f"at most {LONGEST} bytes are allowed")
    if any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in path) or not _is_text(path):
        raise _refused(path, "it holds control characters")
    parts = path.split("/")
    if ".." in parts:
        raise _refused(path, "it must not hold ..")
    parts = [part for part in parts if part not in {"", "."}]
    if not parts:
        raise _refused(path, "the whole root, with /proc and /sys, cannot be downloaded; name a folder in it")
    return WantedPath(posixpath.join("/", *parts[:-1]), parts[-1])


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(path: str, why: str) -> InvalidInput:
    return InvalidInput(f"path cannot be downloaded: {why}", details=f"path: {path[:200]!r}")
