"""Images written by hand: layers from folders, one config, one manifest, kept as a folder that can be pushed.

The same inputs give the same bytes, so an image's digest says whether a registry has it. Formats: OCI image-spec 1.1.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of an image, named by its digest in the folder that holds it."""

    folder: Path
    digest: str
    size: int

    @property
    def path(self) -> Path:
        return self.folder / self.digest.replace(":", "-")

    def descriptor(self, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with its blobs."""

    manifest: Blob
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return self.manifest.digest


def put_blob(folder: Path, content: bytes) -> Blob:
    """Write content under its digest."""
    blob = Blob(folder, _digest(content), len(content))
    blob.path.write_bytes(content)
    return blob


def layer_tar(root: Path, paths: Sequence[Path] | None = None) -> bytes:
    """A folder (or some paths in it) as a tar that depends on names, modes and contents alone."""
    buffer = io.BytesIO()
    chosen = sorted(root.rglob("*")) if paths is None else sorted(paths)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in chosen:
            member = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
            member.mtime = 0
            member.uname = member.gname = ""
            if member.isreg():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
    return buffer.getvalue()


def build(folder: Path, layers: Sequence[bytes], settings: Mapping[str, Any]) -> Image:
    """Write an image of uncompressed layers; `settings` is the config's `config` part (Env, Entrypoint, User...)."""
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    return _write(folder, config, [_put_layer(folder, layer) for layer in layers], [])


def extend(folder: Path, base: Mapping[str, Any], base_config: Mapping[str, Any], layer: bytes) -> Image:
    """Write an image that is another one with a layer on top. The base's blobs are not here: only a registry that has
    them already can take it.
    """
    config = {key: value for key, value in base_config.items() if key != "history"}
    config["rootfs"] = {"type": "layers", "diff_ids": [*base_config["rootfs"]["diff_ids"], _digest(layer)]}
    return _write(folder, config, [_put_layer(folder, layer)], base["layers"])


def _write(
    folder: Path, config: Mapping[str, Any], layers: Sequence[Blob], layers_below: Sequence[Mapping[str, Any]]
) -> Image:
    config_blob = put_blob(folder, json.dumps(config, sort_keys=True).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config_blob.descriptor(CONFIG_TYPE),
        "layers": [*layers_below, *(layer.descriptor(LAYER_TYPE) for layer in layers)],
    }
    manifest_blob = put_blob(folder, json.dumps(manifest, sort_keys=True).encode())
    (folder / "manifest").write_text(manifest_blob.digest)
    return Image(manifest_blob, (config_blob, *layers))


def _put_layer(folder: Path, layer: bytes) -> Blob:
    return put_blob(folder, gzip.compress(layer, compresslevel=6, mtime=0))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def index(folder: Path, image: Image, annotations: Mapping[str, str]) -> Blob:
    """Write an index over one image. containerd knows a checkpoint by an annotation here, not in the manifest."""
    platform_of_image = {"os": "linux", "architecture": _architecture()}
    content = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [image.manifest.descriptor(MANIFEST_TYPE) | {"platform": platform_of_image}],
        "annotations": dict(annotations),
    }
    return put_blob(folder, json.dumps(content, sort_keys=True).encode())


def tag_of(image: Image) -> str:
    """A tag that names the content: it never moves, and a new content never hides behind an old pull."""
    return image.digest.removeprefix("sha256:")[:12]


def _architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def read(folder: Path) -> Image:
    """Read what `build` wrote."""
    digest = (folder / "manifest").read_text()
    path = folder / digest.replace(":", "-")
    manifest = json.loads(path.read_text())
    blobs = [Blob(folder, item["digest"], item["size"]) for item in (manifest["config"], *manifest["layers"])]
    return Image(Blob(folder, digest, path.stat().st_size), tuple(blobs))
