"""Which container runtime of which version a node runs, and what that asks for before it restores an image.

containerd: since 2.1 CreateContainer restores from an index annotated `org.criu.checkpoint.container.name`. 2.2.7 and
2.3.4 put that behind `enable_experimental_restore_via_create` of the CRI runtime plugin; 2.4 removed it. Its CRI
plugin checkpoints since 2.0. CRI-O does both since 1.25, behind `enable_criu_support`; its default moved between
versions, so it has to be set.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CONTAINERD_SWITCH = "enable_experimental_restore_via_create"
CONTAINERD_CRIU_SWITCH = "enable_criu"
CRIO_SWITCH = "enable_criu_support"
VERSION_NOT_TOLD = "its status tells no version of its container runtime, as while that restarts; try again soon"
_VERSION = re.compile(r"^(?P<name>[a-z-]+)://v?(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?P<rest>.*)$")


class ImageRestore(StrEnum):
    """What a version has of the image engine."""

    BUILT_IN = "built_in"
    SWITCH = "switch"
    """There, and off until its switch is set."""
    NOT_YET = "not_yet"
    REMOVED = "removed"
    UNKNOWN = "unknown"
    """A runtime that is not known to restore images."""


@dataclass(frozen=True, slots=True)
class ContainerRuntime:
    """A runtime by its name, `containerd` or `cri-o` among others, and its version."""

    name: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{'CRI-O' if self.name == 'cri-o' else self.name} {'.'.join(map(str, self.version))}"

    @property
    def image_restore(self) -> ImageRestore:
        if self.name == "cri-o":
            return ImageRestore.SWITCH if self.version >= (1, 25, 0) else ImageRestore.NOT_YET
        if self.name != "containerd":
            return ImageRestore.UNKNOWN
        if self.version < (2, 1, 0):
            return ImageRestore.NOT_YET
        if self.version >= (2, 4, 0):
            return ImageRestore.REMOVED
        switched = (2, 2, 7) <= self.version < (2, 3, 0) or self.version >= (2, 3, 4)
        return ImageRestore.SWITCH if switched else ImageRestore.BUILT_IN

    @property
    def family(self) -> Literal["containerd 2", "containerd 1", "cri-o", "other"]:
        """What decides where a setting of it is written, and whether it can checkpoint at all."""
        if self.name == "containerd":
            return "containerd 2" if self.version >= (2, 0, 0) else "containerd 1"
        return "cri-o" if self.name == "cri-o" else "other"


def parse_runtime(text: str) -> ContainerRuntime | None:
    """A node status' text, `containerd://2.1.9`; None where it has no such form."""
    found = _VERSION.match(text)
    if found is None:
        return None
    return ContainerRuntime(found["name"], (int(found["major"]), int(found["minor"]), int(found["patch"] or 0)))
