"""A checkpoint image: one zstd layer that is the archive itself, a manifest over it, an index over that.

Follows the OCI image specification 1.1 (config.md, manifest.md, image-index.md) and what runtimes look at: containerd
restores where the *index* is annotated with the container's name, CRI-O where the *manifest* is; hence both carry
all annotations. The same facts give the same bytes, so a repeated push finds everything already there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ksnap.errors import InvalidInput
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.model.digest import Digest, parse_digest, sha256_digest

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd"
CREATED = "org.opencontainers.image.created"
# uname's machine names to those of Go, which image indexes use.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Registries refuse larger manifests (4 MiB, distribution-spec "Pushing Manifests"); annotations are most of ours.
_MAX_ANNOTATIONS = 1 << 20
_ARCHITECTURE = re.compile(r"^[a-z0-9_]{1,32}\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON document of an image, with its descriptor's fields."""

    media_type: str
    data: bytes
    digest: Digest

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@dataclass(frozen=True, slots=True)
class CheckpointImage:
    """Everything of an image but its layer's bytes."""

    config: Document
    manifest: Document
    index: Document


def build_image(
    facts: ArchiveFacts, *, annotations: Mapping[str, str], architecture: str, created: datetime
) -> CheckpointImage:
    """The image over an archive's layer. What the archive says of itself wins over `annotations`."""
    arch = _ARCHITECTURES.get(architecture, architecture)
    if not _ARCHITECTURE.match(arch):
        raise InvalidInput("Not an architecture", details=repr(architecture[:80]))
    time = created.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    merged = dict(sorted({CREATED: time, **annotations, **facts.annotations}.items()))
    if sum(len(name) + len(value) for name, value in merged.items()) > _MAX_ANNOTATIONS:
        raise InvalidInput("The image's annotations are too large", details=f"more than {_MAX_ANNOTATIONS} bytes")
    platform = {"architecture": arch, "os": "linux"}
    config = _document(
        CONFIG_TYPE,
        {
            "created": time,
            **platform,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [parse_digest(facts.digest)]},
            "history": [{"created": time, "created_by": "ksnap"}],
        },
    )
    layer = {
        "mediaType": LAYER_TYPE,
        "digest": parse_digest(facts.compressed_digest),
        "size": facts.compressed_bytes,
    }
    manifest = _document(
        MANIFEST_TYPE,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor,
            "layers": [layer],
            "annotations": merged,
        },
    )
    index = _document(
        INDEX_TYPE,
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [{**manifest.descriptor, "platform": platform}],
            "annotations": merged,
        },
    )
    return CheckpointImage(config, manifest, index)


def _document(media_type: str, content: Mapping[str, object]) -> Document:
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()
    return Document(media_type, data, sha256_digest(hashlib.sha256(data).hexdigest()))
