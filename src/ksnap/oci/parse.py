"""Foreign manifests and indexes, read as far as the layer of a checkpoint image."""

import json
from dataclasses import dataclass
from typing import Any

from ksnap.errors import InvalidInput
from ksnap.model.digest import Digest, parse_digest
from ksnap.oci.checkpoint_image import CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE


@dataclass(frozen=True, slots=True)
class Descriptor:
    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class ParsedIndex:
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    architecture: str
    diff_ids: tuple[Digest, ...]
    """Of the layers as plain tars."""


def parse_index(data: bytes) -> ParsedIndex:
    """An OCI index; anything else is InvalidInput."""
    content = _content(data, INDEX_TYPE)
    return ParsedIndex(_descriptors(content.get("manifests")), _annotations(content))


def parse_manifest(data: bytes) -> ParsedManifest:
    """An OCI image manifest; anything else is InvalidInput."""
    content = _content(data, MANIFEST_TYPE)
    return ParsedManifest(
        _descriptor(content.get("config")), _descriptors(content.get("layers")), _annotations(content)
    )


def parse_config(data: bytes) -> ParsedConfig:
    """An OCI image configuration; anything else is InvalidInput."""
    match _content(data, CONFIG_TYPE):
        case {"architecture": str(architecture), "rootfs": {"diff_ids": [*diff_ids]}}:
            return ParsedConfig(architecture, tuple(parse_digest(str(each)) for each in diff_ids))
        case _:
            raise InvalidInput("Not an image's configuration", details="architecture or diff ids are missing")


def checkpoint_layer(manifest: ParsedManifest) -> Descriptor:
    """The one zstd layer of an image that ksnap built."""
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != LAYER_TYPE:
        raise InvalidInput("Not a checkpoint image of ksnap", details="it has not exactly one zstd layer")
    return manifest.layers[0]


def _content(data: bytes, media_type: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInput("Not a manifest", details="it is not JSON") from None
    if not isinstance(content, dict) or content.get("mediaType", media_type) != media_type:
        raise InvalidInput("Not a manifest of the expected type", details=f"expected {media_type}")
    return content


def _descriptors(value: object) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise InvalidInput("Not a manifest", details="a list of descriptors is missing")
    return tuple(_descriptor(each) for each in value)


def _descriptor(value: object) -> Descriptor:
    match value:
        case {"mediaType": str(media_type), "digest": str(digest), "size": int(size)} if size >= 0:
            return Descriptor(media_type, parse_digest(digest), size)
        case _:
            raise InvalidInput("Not a manifest", details="a descriptor is malformed")


def _annotations(content: dict[str, Any]) -> dict[str, str]:
    found = content.get("annotations") or {}
    if not isinstance(found, dict):
        raise InvalidInput("Not a manifest", details="the annotations are no object")
    return {str(name): str(value) for name, value in found.items()}
