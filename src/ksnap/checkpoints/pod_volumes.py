"""What becomes of a container's volumes when it is frozen and restored. Pure.

A checkpoint holds memory, open files by their path, and what changed in the container's own file system. Volumes are
mounted into it from outside: none of their files is in it, and a process that is restored opens its files there again.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ksnap.checkpoints.findings import Finding, Level

Json = Mapping[str, Any]

# What the cluster itself gives a restored pod again, as it gives it to a cold one.
_CONFIGURATION = ("configMap", "secret", "projected", "downwardAPI", "image")


def volume_findings(container: Json, spec: Json) -> Iterator[Finding]:
    """One for each volume that the container mounts and that a copy does not simply get again."""
    volumes = {each["name"]: each for each in spec.get("volumes") or []}
    mounts = container.get("volumeMounts") or []
    for name in dict.fromkeys(each["name"] for each in mounts):
        paths = ", ".join(each["mountPath"] for each in mounts if each["name"] == name)
        yield from _volume(volumes.get(name) or {}, f"{name} ({paths})", spec.get("nodeName") or "its node")
    for each in mounts:
        if each.get("mountPropagation") not in {None, "None"}:
            yield Finding(
                "mount-propagation",
                Level.WARNING,
                f"The mount at {each['mountPath']} is shared with the node (mountPropagation: "
                f"{each['mountPropagation']}), which CRIU may not be able to freeze",
                "# in the container's volumeMounts\nmountPropagation: None",
            )


def _volume(volume: Json, where: str, node: str) -> Iterator[Finding]:
    kind = next((each for each in volume if each != "name"), "")
    about = f"Volume {where}, {kind}: its files are not in a checkpoint"
    if kind in {"emptyDir", "ephemeral"}:
        yield Finding(
            "volume-empty",
            Level.WARNING,
            f"{about}, and a restored pod gets an empty one. A process that has a file open there finds it missing, "
            "and is not restored",
            "# keep what the process must find again in the container's own file system, or in a claim",
        )
    elif kind == "hostPath":
        yield Finding(
            "volume-of-node",
            Level.WARNING,
            f"{about}, they stay on {node}. A pod that is restored there shares them with this one, and on another "
            f"node finds what that has at {volume[kind].get('path')}",
        )
    elif kind == "persistentVolumeClaim":
        yield Finding(
            "volume-claim",
            Level.WARNING,
            f"{about}. A restored pod mounts the same claim, {volume[kind].get('claimName')}, and finds what it holds "
            "by then; a ReadWriteOnce one only on the node that has it mounted",
        )
    elif kind and kind not in _CONFIGURATION:
        yield Finding(
            "volume-other",
            Level.WARNING,
            f"{about}. A restored pod mounts it anew, and finds what it holds by then",
        )
