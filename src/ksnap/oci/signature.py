"""Signatures of checkpoint images in cosign's format: what is signed, how it lies in a registry, what is believed.

Follows cosign's SIGNATURE_SPEC.md (simple signing; storage under the tag `sha256-<hex>.sig`) and the simple signing
format (containers-signature(5)): a payload names an index by its digest and carries, as `optional`, our checkpoint key.
A signature manifest has one layer for each payload; the signature over it is an annotation of the layer.

The digest and the key are what counts. The `docker-reference` says where the image was first pushed and is not
compared, as cosign does not compare it: a copy in another registry, a mirror, the same registry under another name hold
the same bytes, and the digest vouches for them. Who may restore them is a question about the key (cluster, namespace,
workload).

Nothing of a payload is read before a trusted key has vouched for its bytes.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ksnap.errors import ImageUntrusted, InvalidInput
from ksnap.model.checkpoint_key import CheckpointKey, key_of_annotations
from ksnap.model.digest import Digest, sha256_digest
from ksnap.oci.checkpoint_image import CONFIG_TYPE, MANIFEST_TYPE, Document
from ksnap.oci.parse import Descriptor, parse_manifest
from ksnap.oci.signing_keys import VerifyingKey

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
CRITICAL_TYPE = "cosign container image signature"
# Ours have one KiB; a stranger's are read as well before we know whose they are.
MAX_PAYLOAD_BYTES = 64 << 10
# Layers that are looked at. Whoever may push to the repository could add any number; ours comes first.
MAX_SIGNATURES = 32
# Strangers' layers may carry certificate chains.
_MAX_MANIFEST_BYTES = 1 << 20
# In DER a P-256 signature has 72 bytes at most.
_MAX_ENCODED = 128
# As cosign writes it: a signature has no time, so that the same signatures give the same bytes.
_NO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """What a trusted key says of an image."""

    digest: Digest
    """The index's."""
    key: CheckpointKey
    annotations: dict[str, str]
    """All that was signed beside the digest: the key's parts, the checkpoint's id."""
    reference: str
    """Where it was first pushed, host/repository. For people: see above."""
    key_id: str
    """Of the key that vouches."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One layer of a signature manifest."""

    payload: Descriptor
    encoded: str
    """The signature in base64, as the layer's annotation has it; empty where there is none."""
    layer: Mapping[str, Any] = field(repr=False)
    """The whole descriptor: a stranger's is put back as it was."""


@dataclass(frozen=True, slots=True)
class SignatureImage:
    """A signature manifest and its configuration."""

    config: Document
    manifest: Document


def signature_tag(digest: Digest) -> str:
    """The tag under which an image's signatures lie in its repository."""
    return digest.replace(":", "-") + ".sig"


def signed_payload(reference: str, digest: Digest, annotations: Mapping[str, str]) -> Document:
    """What is signed; the same facts give the same bytes. `annotations` must hold a whole checkpoint key."""
    key_of_annotations(annotations)
    content = {
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digest},
            "type": CRITICAL_TYPE,
        },
        "optional": dict(sorted(annotations.items())),
    }
    document = _document(PAYLOAD_TYPE, content)
    if len(document.data) > MAX_PAYLOAD_BYTES:
        raise InvalidInput("The image's annotations are too large to be signed", details=f"{len(document.data)} bytes")
    return document


def new_signature(payload: Document, signature: bytes) -> Signature:
    """A layer for a payload and the signature (DER) over it."""
    encoded = base64.b64encode(signature).decode()
    layer = {**payload.descriptor, "annotations": {SIGNATURE_ANNOTATION: encoded}}
    return Signature(Descriptor(PAYLOAD_TYPE, payload.digest, len(payload.data)), encoded, layer)


def signature_image(signatures: Sequence[Signature]) -> SignatureImage:
    """The manifest that holds these signatures, each once; what is beyond the limit is left out at the end."""
    layers: list[Mapping[str, Any]] = []
    for each in signatures:
        if each.layer not in layers and len(layers) < MAX_SIGNATURES:
            layers.append(each.layer)
    config = _document(
        CONFIG_TYPE,
        {
            "architecture": "",
            "created": _NO_TIME,
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]},
        },
    )
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config.descriptor, "layers": layers}
    return SignatureImage(config, _document(MANIFEST_TYPE, manifest))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """The layers of a signature manifest, at most so many as are looked at; anything else is InvalidInput."""
    if len(data) > _MAX_MANIFEST_BYTES:
        raise InvalidInput("Not a signature manifest", details=f"it has {len(data)} bytes")
    descriptors = parse_manifest(data).layers
    layers = json.loads(data)["layers"]
    return tuple(
        Signature(descriptor, _encoded(layer), layer)
        for descriptor, layer in zip(descriptors[:MAX_SIGNATURES], layers[:MAX_SIGNATURES], strict=True)
    )


def verify(payload: bytes, encoded: str, trusted: Sequence[VerifyingKey], *, digest: Digest) -> SignedClaims:
    """What a trusted key says of the image of this digest; ImageUntrusted if none does, or of another image."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _does_not_fit(digest, f"the signed payload has more than {MAX_PAYLOAD_BYTES} bytes")
    signature = _decoded(encoded, digest)
    key_id = next((key.key_id for key in trusted if key.fits(signature, payload)), None)
    if key_id is None:
        raise ImageUntrusted(
            "The checkpoint image is signed by no trusted key",
            details=f"{digest}: trusted are {', '.join(key.key_id[:16] for key in trusted) or 'none'}",
            hint="Give the node the public key of the server that pushed the image, if that is to be trusted",
            reason="unknown",
        )
    return _claims(payload, digest, key_id)


def _claims(payload: bytes, digest: Digest, key_id: str) -> SignedClaims:
    """What the bytes say, once they are trusted. A claim that is not understood could mean anything: refused."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise _does_not_fit(digest, "the signed payload is no JSON") from None
    match content:
        case {
            "critical": {
                "identity": {"docker-reference": str(reference), **more_identity},
                "image": {"docker-manifest-digest": str(named), **more_image},
                "type": str(kind),
                **more_critical,
            },
            "optional": dict(optional),
            **more,
        } if not (more_identity or more_image or more_critical or more):
            pass
        case _:
            raise _does_not_fit(digest, "the signed payload is no simple signing of a container image")
    if kind != CRITICAL_TYPE:
        raise _does_not_fit(digest, f"the signed payload is of type {kind[:80]!r}")
    if named != digest:
        raise _does_not_fit(digest, f"the signature is of another image, {named[:80]}")
    annotations = {name: value for name, value in optional.items() if isinstance(value, str)}
    try:
        key = key_of_annotations(annotations)
    except InvalidInput as error:
        raise _does_not_fit(digest, f"what was signed holds no checkpoint key: {error.details}") from error
    return SignedClaims(digest, key, annotations, reference, key_id)


def _encoded(layer: Mapping[str, Any]) -> str:
    annotations = layer.get("annotations")
    found = annotations.get(SIGNATURE_ANNOTATION) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) and layer["mediaType"] == PAYLOAD_TYPE else ""


def _decoded(encoded: str, digest: Digest) -> bytes:
    if not encoded or len(encoded) > _MAX_ENCODED:
        raise _does_not_fit(digest, "the signature is missing or too long")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _does_not_fit(digest, "the signature is no base64") from None


def _does_not_fit(digest: Digest, why: str) -> ImageUntrusted:
    return ImageUntrusted(
        "The checkpoint image's signature does not fit",
        details=f"{digest}: {why}",
        hint="Push the checkpoint again; if that helps only for a while, find out who changes the repository",
        reason="altered",
    )


def _document(media_type: str, content: Mapping[str, object]) -> Document:
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()
    return Document(media_type, data, sha256_digest(hashlib.sha256(data).hexdigest()))
