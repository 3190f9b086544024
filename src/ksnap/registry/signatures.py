"""Signatures of checkpoint images in a registry: pushed, copied, found for a removal, and verified before a restore.

They lie beside the image under the tag that `oci.signature.signature_tag` makes of its digest, where `cosign verify`
looks as well. A push puts the signature in before the tag that names the image, so that nothing a tag names is ever
unsigned; others' signatures under that tag are kept. `verified_claims` is what a node asks before it uses an image.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from ksnap.errors import ImageUntrusted, InvalidInput, NotFound
from ksnap.model.checkpoint_key import key_of_annotations
from ksnap.model.digest import Digest, parse_digest, sha256_digest
from ksnap.oci.parse import parse_manifest
from ksnap.oci.signature import (
    MAX_PAYLOAD_BYTES,
    PAYLOAD_TYPE,
    Signature,
    SignedClaims,
    new_signature,
    parse_signatures,
    signature_image,
    signature_tag,
    signed_payload,
    verify,
)
from ksnap.oci.signing_keys import SigningKey, VerifyingKey, parse_signing_key
from ksnap.registry.blob_read import WrongBytes
from ksnap.registry.blobs import Blobs
from ksnap.registry.client import RegistryClient
from ksnap.registry.failures import first_failure
from ksnap.registry.manifests import Manifests, StoredManifest


class Signer(Protocol):
    """Whoever can sign. A key of ours here; a key service (KMS) would be another, hence `async`."""

    @property
    def public_key(self) -> VerifyingKey:
        """The half that verifies."""

    async def sign(self, payload: bytes) -> bytes:
        """A signature (DER) over the payload's sha256."""


class Recorder(Protocol):
    """Who hears of what is put into a registry before it is put there: a push's record."""

    def blob_pushed(self, digest: str) -> None:
        """This blob was not there before."""

    def manifest_pushed(self, digest: str) -> None:
        """This manifest was not there before."""


class _Unrecorded:
    """For what is added to signatures that were there before: undoing it would take those away with it."""

    def blob_pushed(self, digest: str) -> None:
        """Stays."""

    def manifest_pushed(self, digest: str) -> None:
        """Stays."""


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """Signs with a key in this process' memory. Made by `local_signer`."""

    key: SigningKey

    @property
    def public_key(self) -> VerifyingKey:
        return self.key.public_key

    async def sign(self, payload: bytes) -> bytes:
        return await asyncio.to_thread(self.key.sign, payload)


async def local_signer(pem: SecretStr) -> LocalSigner:
    """A signer of a private key in PEM; InvalidInput if it is none."""
    return LocalSigner(await asyncio.to_thread(parse_signing_key, pem))


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs an image and what is said of it: a whole checkpoint key at least, else InvalidInput at once."""

    signer: Signer
    annotations: Mapping[str, str]

    def __post_init__(self) -> None:
        key_of_annotations(self.annotations)


async def push_signature(
    client: RegistryClient, repository: str, digest: Digest, signing: Signing, record: Recorder
) -> Digest:
    """Sign an index and put the signature beside it; the signature manifest's digest. Repeated, it finds it there."""
    former = await find_signatures(client, repository, digest)
    if former is not None and await _says(client, repository, digest, former, signing):
        return former.digest
    others = _signatures(former)
    record = _Unrecorded() if others else record
    payload = signed_payload(f"{client.access.host}/{repository}", digest, signing.annotations)
    signature = new_signature(payload, await signing.signer.sign(payload.data))
    return await _put(client, repository, digest, [signature, *others], record, payloads=[payload.data])


async def copy_signatures(
    source: tuple[RegistryClient, str], target: tuple[RegistryClient, str], digest: Digest, record: Recorder
) -> None:
    """Take the signatures of an index along to another repository; those that lie there already stay."""
    others = _signatures(await find_signatures(*target, digest))
    known = [each.layer for each in others]
    found = [each for each in _signatures(await find_signatures(*source, digest)) if each.layer not in known]
    record = _Unrecorded() if others else record
    origin, carried, payloads = Blobs(*source), [], []
    for each in found:
        try:
            payloads.append(await _payload(origin, each))
        except (NotFound, ImageUntrusted):
            continue  # of no use where it is, and so of none elsewhere
        carried.append(each)
    if carried:
        await _put(*target, digest, [*others, *carried], record, payloads=payloads)


async def find_signatures(client: RegistryClient, repository: str, digest: Digest) -> StoredManifest | None:
    """What lies under the tag of an index's signatures, whatever it is."""
    try:
        return await Manifests(client, repository).get(signature_tag(digest))
    except NotFound:
        return None


def parts_of(found: StoredManifest) -> set[Digest]:
    """The blobs of a signature manifest: its configuration and payloads. Nothing if it is another kind of manifest.

    Whoever may push could let the tag name an image of somebody else, for a removal to remove.
    """
    try:
        content = parse_manifest(found.data)
    except InvalidInput:
        return set()
    if any(each.media_type != PAYLOAD_TYPE for each in content.layers):
        return set()
    return {content.config.digest, *(each.digest for each in content.layers)}


async def verified_claims(
    client: RegistryClient, repository: str, digest: str, trusted: Sequence[VerifyingKey]
) -> SignedClaims:
    """What one of the trusted keys says of the image whose index has this digest; ImageUntrusted if none does.

    Errors of the registry come out as they are: they say nothing about the image.
    """
    named = parse_digest(digest)
    found = await find_signatures(client, repository, named)
    if found is None:
        raise _unsigned(client, repository, named)
    return await _verified(client, repository, named, found, trusted)


async def _verified(
    client: RegistryClient, repository: str, digest: Digest, found: StoredManifest, trusted: Sequence[VerifyingKey]
) -> SignedClaims:
    """The first signature that holds. Where none does, one of a trusted key that does not fit is the one to tell of."""
    blobs = Blobs(client, repository)
    refusal: ImageUntrusted | None = None
    for each in _signatures(found):
        try:
            payload = await _payload(blobs, each)
            return await asyncio.to_thread(verify, payload, each.encoded, trusted, digest=digest)
        except NotFound:
            error = _altered(digest, f"the signed payload {each.payload.digest} is not in the registry")
        except ImageUntrusted as refused:
            error = refused
        if refusal is None or (refusal.reason == "unknown" and error.reason == "altered"):
            refusal = error
    raise refusal or _unsigned(client, repository, digest)


async def _says(
    client: RegistryClient, repository: str, digest: Digest, found: StoredManifest, signing: Signing
) -> bool:
    """Whether this signer has said just this already, and it can be verified."""
    try:
        claims = await _verified(client, repository, digest, found, [signing.signer.public_key])
    except ImageUntrusted:
        return False
    return claims.annotations == dict(signing.annotations)


async def _put(
    client: RegistryClient,
    repository: str,
    digest: Digest,
    signatures: Sequence[Signature],
    record: Recorder,
    *,
    payloads: Sequence[bytes],
) -> Digest:
    """Put a signature manifest under its tag, after its blobs; `payloads` are those that are new."""
    image, blobs = signature_image(signatures), Blobs(client, repository)
    async with first_failure(), asyncio.TaskGroup() as group:
        # Two keys may have signed the very same payload.
        for data in dict.fromkeys((image.config.data, *payloads)):
            named = sha256_digest(hashlib.sha256(data).hexdigest())
            group.create_task(blobs.put_new(data, named, told=record.blob_pushed))
    record.manifest_pushed(image.manifest.digest)
    await Manifests(client, repository).put(image.manifest, signature_tag(digest))
    return image.manifest.digest


def _signatures(found: StoredManifest | None) -> list[Signature]:
    """The signatures under a tag; what is no signature manifest holds none, and is replaced at the next push."""
    if found is None:
        return []
    try:
        return [each for each in parse_signatures(found.data) if each.encoded]
    except InvalidInput:
        return []


async def _payload(blobs: Blobs, signature: Signature) -> bytes:
    """A signed payload: its bytes are those of its digest, and few; else ImageUntrusted."""
    digest, data = signature.payload.digest, bytearray()
    try:
        async with blobs.open(digest) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > MAX_PAYLOAD_BYTES:
                    raise _altered(digest, f"the signed payload has more than {MAX_PAYLOAD_BYTES} bytes")
    except WrongBytes:
        raise _altered(digest, "the signed payload's digest differs") from None
    return bytes(data)


def _unsigned(client: RegistryClient, repository: str, digest: Digest) -> ImageUntrusted:
    return ImageUntrusted(
        "The checkpoint image is not signed",
        details=f"{client.access.host}/{repository}@{digest}",
        hint="Push it again with a server that signs",
        reason="unsigned",
    )


def _altered(digest: Digest, why: str) -> ImageUntrusted:
    return ImageUntrusted(
        "The checkpoint image's signature does not fit",
        details=f"{digest}: {why}",
        hint="Push the checkpoint again",
        reason="altered",
    )
