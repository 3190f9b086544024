"""What an archive's JSON members say of the frozen container, and the image annotations made of it.

The `org.criu.checkpoint.*` set is the one that `checkpointctl build` 1.6.0 writes (its
internal/oci_image_build.go): eight keys, with the engine's own way of naming pod and container.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksnap.criu import archive_rules as rules
from ksnap.criu.stats import frozen_us
from ksnap.criu.tar_header import bad_archive

CONTAINER_NAME = "org.criu.checkpoint.container.name"
"""containerd reads it on the index, and restores because of it."""
CRIO_NAME = "io.kubernetes.cri-o.annotations.checkpoint.name"
"""CRI-O reads it on the manifest, and restores because of it."""
_CRIU_VERSION = re.compile(rb"^\([0-9.]+\) Version: ([0-9][0-9A-Za-z.~+-]{0,40})", re.MULTILINE)
_MAX_VALUE = 4096


@dataclass(frozen=True, slots=True)
class ArchiveMetadata:
    """The frozen container, as the runtime that froze it saw it."""

    engine: str
    """containerd, CRI-O or Podman, as checkpointctl spells them."""
    container_name: str
    pod_name: str
    namespace: str
    container_id: str
    rootfs_image: str
    """As the pod's author wrote it."""
    rootfs_image_name: str
    rootfs_image_ref: str
    """Pinned by digest: what containerd pulls before it restores."""
    runtime: str
    checkpointed_at: str
    criu_version: str
    """Empty where the log's head does not say."""
    frozen_us: int | None
    """For how long the processes stood still; None where CRIU's figures are not there."""


def read_metadata(documents: Mapping[str, bytes]) -> ArchiveMetadata:
    """Metadata out of the documents that `ArchiveReader` collected."""
    config = _object(documents, rules.CONFIG_DUMP)
    spec = _object(documents, rules.SPEC_DUMP)
    annotations = spec.get("annotations", {})
    if not isinstance(annotations, dict):
        raise bad_archive(f"{rules.SPEC_DUMP}: the annotations are no object")
    engine, container, pod, namespace = _origin(config, annotations)
    version = _CRIU_VERSION.search(documents.get(rules.DUMP_LOG, b""))
    return ArchiveMetadata(
        engine=engine,
        container_name=container,
        pod_name=pod,
        namespace=namespace,
        container_id=_text(config, "id"),
        rootfs_image=_text(config, "rootfsImage"),
        rootfs_image_name=_text(config, "rootfsImageName"),
        rootfs_image_ref=_text(config, "rootfsImageRef"),
        runtime=_text(config, "runtime"),
        checkpointed_at=_text(config, "checkpointedTime"),
        criu_version=version.group(1).decode() if version else "",
        frozen_us=frozen_us(documents.get(rules.STATS_DUMP, b"")),
    )


def checkpoint_annotations(metadata: ArchiveMetadata) -> dict[str, str]:
    """The eight annotations of checkpointctl 1.6.0; all are written, also those without a value."""
    return {
        "org.criu.checkpoint.engine.name": metadata.engine,
        CONTAINER_NAME: metadata.container_name,
        "org.criu.checkpoint.pod.name": metadata.pod_name,
        "org.criu.checkpoint.pod.namespace": metadata.namespace,
        "org.criu.checkpoint.rootfsImageUserRequested": metadata.rootfs_image,
        "org.criu.checkpoint.rootfsImageName": metadata.rootfs_image_name,
        "org.criu.checkpoint.rootfsImageID": metadata.rootfs_image_ref,
        "org.criu.checkpoint.runtime.name": metadata.runtime,
    }


def image_annotations(metadata: ArchiveMetadata) -> dict[str, str]:
    """All that an archive gives its image: checkpointctl's set and CRI-O's name."""
    return {**checkpoint_annotations(metadata), CRIO_NAME: metadata.container_name}


def _origin(config: Mapping[str, Any], annotations: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Engine, container, pod, namespace: each engine keeps them elsewhere."""
    match annotations.get("io.container.manager"):
        case "libpod":
            return "Podman", _text(config, "name"), "", ""
        case "cri-o":
            try:
                name = json.loads(_text(annotations, "io.kubernetes.cri-o.Metadata"))
            except json.JSONDecodeError:
                raise bad_archive(f"{rules.SPEC_DUMP}: io.kubernetes.cri-o.Metadata is not JSON") from None
            return (
                "CRI-O",
                _text(name if isinstance(name, dict) else {}, "name"),
                _text(annotations, "io.kubernetes.pod.name"),
                _text(annotations, "io.kubernetes.pod.namespace"),
            )
        case _:
            return (
                "containerd",
                _text(annotations, "io.kubernetes.cri.container-name"),
                _text(annotations, "io.kubernetes.cri.sandbox-name"),
                _text(annotations, "io.kubernetes.cri.sandbox-namespace"),
            )


def _object(documents: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        parsed = json.loads(documents[name])
    except (KeyError, ValueError, RecursionError):
        raise bad_archive(f"{name} is not JSON") from None
    if not isinstance(parsed, dict):
        raise bad_archive(f"{name} is no JSON object")
    return parsed


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_VALUE:
        raise bad_archive(f"{name!r} in the archive's metadata is no text of at most {_MAX_VALUE} characters")
    return value
