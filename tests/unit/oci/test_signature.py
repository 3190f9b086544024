"""Signatures: the bytes that cosign knows, and everything that is not believed."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.errors import ImageUntrusted, InvalidInput
from ksnap.model.checkpoint_key import CheckpointKey
from ksnap.model.digest import parse_digest
from ksnap.oci.parse import parse_manifest
from ksnap.oci.signature import (
    MAX_PAYLOAD_BYTES,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    SIGNATURE_ANNOTATION,
    new_signature,
    parse_signatures,
    signature_image,
    signature_tag,
    signed_payload,
    verify,
)
from ksnap.oci.signing_keys import new_signing_key, parse_public_keys, parse_signing_key

CHECKPOINT_KEY = CheckpointKey(
    cluster="prod",
    namespace="shop",
    owner="Deployment/web",
    app="web",
    container="app",
    image="registry.example/web:1",
    image_digest="sha256:" + "1" * 64,
    template_hash="6d4b75cb6d",
    environment_hash="0123456789abcdef",
)
DIGEST = parse_digest("sha256:" + "a" * 64)
OTHER = parse_digest("sha256:" + "b" * 64)
REFERENCE = "registry.example/snap/prod-shop-web"
KEY = parse_signing_key(new_signing_key())
PAYLOAD = signed_payload(REFERENCE, DIGEST, CHECKPOINT_KEY.annotations())

# Made by openssl alone: `ecparam -name prime256v1 -genkey`, `pkey -pubout`, `dgst -sha256 -sign` over PAYLOAD.
OPENSSL_PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEtDJvgRwUXwd064CORvCcJOutZoma
2RTZZPHssfqecK4UVeY93Gy36hu9hSk0dqz9++GsIsqQUWmYUSGGwBCKNQ==
-----END PUBLIC KEY-----
"""
OPENSSL_KEY_ID = "0843d7145219a8691de8b8ca25f278e188571608741676e924354f98689a1deb"
OPENSSL_SIGNATURE = "MEQCICKoeddN0XDreq0dus2LW/fJ7Pc5pQqpa1/KDxRbAtO9AiBfn80C52hYdUgIHYvCY7t7kRBPdmfLC44nwwEZyQB71g=="
# In cosign's order, without a space: what this code signed once it must be able to verify ever after.
PAYLOAD_BYTES = (
    b'{"critical":{"identity":{"docker-reference":"registry.example/snap/prod-shop-web"},'
    b'"image":{"docker-manifest-digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},'
    b'"type":"cosign container image signature"},"optional":{"ksnap.dev/app":"web","ksnap.dev/cluster":"prod",'
    b'"ksnap.dev/container":"app","ksnap.dev/environment-hash":"0123456789abcdef",'
    b'"ksnap.dev/key":"b5f56709af7e203898b093053ebf292052b6d37ab7d7a3bbf904882c3bee5e7f",'
    b'"ksnap.dev/namespace":"shop",'
    b'"ksnap.dev/original-digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111",'
    b'"ksnap.dev/original-image":"registry.example/web:1","ksnap.dev/owner":"Deployment/web",'
    b'"ksnap.dev/pod-template-hash":"6d4b75cb6d"}}'
)

Change = Callable[[dict[str, Any]], object]


def encoded(payload: bytes) -> str:
    return base64.b64encode(KEY.sign(payload)).decode()


def refused(payload: bytes, signature: str | None = None) -> ImageUntrusted:
    with pytest.raises(ImageUntrusted) as caught:
        verify(
            payload,
            encoded(payload) if signature is None else signature,
            [KEY.public_key],
            digest=DIGEST,
        )
    return caught.value


def test_the_signed_bytes_are_these() -> None:
    assert PAYLOAD.data == PAYLOAD_BYTES
    assert PAYLOAD.media_type == "application/vnd.dev.cosign.simplesigning.v1+json"


def test_a_signature_of_openssl_is_believed() -> None:
    claims = verify(PAYLOAD_BYTES, OPENSSL_SIGNATURE, parse_public_keys(OPENSSL_PUBLIC_KEY), digest=DIGEST)
    assert claims.key == CHECKPOINT_KEY
    assert claims.annotations == CHECKPOINT_KEY.annotations()
    assert (claims.digest, claims.reference, claims.key_id) == (DIGEST, REFERENCE, OPENSSL_KEY_ID)


def test_one_of_several_keys_suffices() -> None:
    old = parse_public_keys(OPENSSL_PUBLIC_KEY)
    for signature, key_id in ((encoded(PAYLOAD.data), KEY.public_key.key_id), (OPENSSL_SIGNATURE, OPENSSL_KEY_ID)):
        assert verify(PAYLOAD.data, signature, [*old, KEY.public_key], digest=DIGEST).key_id == key_id


def test_an_unknown_key_is_named_so() -> None:
    error = refused(PAYLOAD.data, OPENSSL_SIGNATURE)
    assert error.reason == "unknown"
    assert KEY.public_key.key_id[:16] in error.details
    with pytest.raises(ImageUntrusted, match="no trusted key"):
        verify(PAYLOAD.data, OPENSSL_SIGNATURE, [], digest=DIGEST)


def test_another_image_is_refused() -> None:
    payload = signed_payload(REFERENCE, OTHER, CHECKPOINT_KEY.annotations())
    error = refused(payload.data)
    assert error.reason == "altered"
    assert OTHER in error.details


def test_another_place_is_the_same_image() -> None:
    """A copy in another registry has the same digest, and stays verifiable."""
    payload = signed_payload("mirror.example:5000/x", DIGEST, CHECKPOINT_KEY.annotations())
    claims = verify(payload.data, encoded(payload.data), [KEY.public_key], digest=DIGEST)
    assert claims.reference == "mirror.example:5000/x"


@given(st.integers(min_value=0, max_value=len(PAYLOAD_BYTES) - 1), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_refused(place: int, change: int) -> None:
    changed = bytearray(PAYLOAD_BYTES)
    changed[place] ^= change
    with pytest.raises(ImageUntrusted):
        verify(bytes(changed), OPENSSL_SIGNATURE, parse_public_keys(OPENSSL_PUBLIC_KEY), digest=DIGEST)


@given(st.text(max_size=200))
def test_arbitrary_text_is_no_signature(text: str) -> None:
    with pytest.raises(ImageUntrusted):
        verify(PAYLOAD.data, text, [KEY.public_key], digest=DIGEST)


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("", "missing"),
        ("A" * 1000, "too long"),
        ("%%%%", "no base64"),
        ("MEQ", "no base64"),
        (OPENSSL_SIGNATURE[:40] + " " + OPENSSL_SIGNATURE[40:], "no base64"),
        ("Ä" * 20, "no base64"),
    ],
)
def test_a_malformed_signature_says_so(signature: str, why: str) -> None:
    error = refused(PAYLOAD.data, signature)
    assert why in error.details
    assert error.reason == "altered"


def test_a_payload_that_is_too_large_is_refused_unread() -> None:
    error = refused(b" " * (MAX_PAYLOAD_BYTES + 1))
    assert "more than 65536 bytes" in error.details


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["critical"].update(type="atomic container signature"),
        lambda c: c["critical"].update(type=None),
        lambda c: c["critical"].update(until="tomorrow"),
        lambda c: c["critical"]["image"].update(platform="arm64"),
        lambda c: c["critical"]["identity"].update(tag="x"),
        lambda c: c["critical"].pop("identity"),
        lambda c: c["critical"]["image"].pop("docker-manifest-digest"),
        lambda c: c["critical"]["image"].update({"docker-manifest-digest": 1}),
        lambda c: c.update(critical=[]),
        lambda c: c.update(optional=None),
        lambda c: c.update(more={}),
        lambda c: c["optional"].pop("ksnap.dev/owner"),
        lambda c: c["optional"].pop("ksnap.dev/key"),
        lambda c: c["optional"].update({"ksnap.dev/namespace": "elsewhere"}),
        lambda c: c["optional"].update({"ksnap.dev/namespace": 1}),
    ],
)
def test_what_a_trusted_key_says_must_be_understood(change: Change) -> None:
    """Signed properly, and yet no claim of a checkpoint: a later format, or the key used for something else."""
    content = json.loads(PAYLOAD.data)
    change(content)
    error = refused(json.dumps(content).encode())
    assert error.reason == "altered"
    assert error.message == "The checkpoint image's signature does not fit"


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"\xff", b"{", b"[" * 60_000])
def test_signed_bytes_that_are_no_claims(payload: bytes) -> None:
    assert refused(payload).reason == "altered"


def test_further_annotations_are_signed_and_others_types_left_out() -> None:
    content = json.loads(PAYLOAD.data)
    content["optional"] |= {"ksnap.dev/checkpoint-id": "c1", "timestamp": 1458239713}
    data = json.dumps(content).encode()
    claims = verify(data, encoded(data), [KEY.public_key], digest=DIGEST)
    assert claims.annotations == CHECKPOINT_KEY.annotations() | {"ksnap.dev/checkpoint-id": "c1"}


def test_an_incomplete_key_is_not_signed() -> None:
    with pytest.raises(InvalidInput, match="Not a checkpoint key"):
        signed_payload(REFERENCE, DIGEST, {"ksnap.dev/key": "k"})
    with pytest.raises(InvalidInput, match="too large"):
        signed_payload(REFERENCE, DIGEST, CHECKPOINT_KEY.annotations() | {"x": "y" * MAX_PAYLOAD_BYTES})


def test_the_tag_is_cosigns() -> None:
    assert signature_tag(DIGEST) == f"sha256-{'a' * 64}.sig"


class TestManifest:
    def test_it_is_an_image_whose_layers_are_payloads(self) -> None:
        image = signature_image([new_signature(PAYLOAD, b"signature")])
        parsed = parse_manifest(image.manifest.data)
        assert parsed.config.digest == image.config.digest
        assert [(each.media_type, each.digest, each.size) for each in parsed.layers] == [
            (PAYLOAD_TYPE, PAYLOAD.digest, len(PAYLOAD.data))
        ]
        [layer] = json.loads(image.manifest.data)["layers"]
        assert layer["annotations"] == {"dev.cosignproject.cosign/signature": base64.b64encode(b"signature").decode()}
        assert json.loads(image.config.data)["rootfs"] == {"type": "layers", "diff_ids": [PAYLOAD.digest]}

    def test_what_was_written_is_read(self) -> None:
        signatures = [new_signature(PAYLOAD, bytes([each])) for each in range(3)]
        assert list(parse_signatures(signature_image(signatures).manifest.data)) == signatures

    def test_each_signature_is_there_once_and_the_first_ones_stay(self) -> None:
        signatures = [new_signature(PAYLOAD, bytes([each])) for each in range(MAX_SIGNATURES + 5)]
        image = signature_image([signatures[0], *signatures])
        assert list(parse_signatures(image.manifest.data)) == signatures[:MAX_SIGNATURES]

    def test_strangers_layers_keep_all_they_have(self) -> None:
        layer = {
            **PAYLOAD.descriptor,
            "annotations": {SIGNATURE_ANNOTATION: "AAAA", "dev.sigstore.cosign/chain": "PEM"},
        }
        stranger = replace(new_signature(PAYLOAD, b""), encoded="AAAA", layer=layer)
        image = signature_image([new_signature(PAYLOAD, b"ours"), stranger])
        assert parse_signatures(image.manifest.data)[1] == stranger

    def test_layers_of_other_kinds_are_no_signatures(self) -> None:
        content = json.loads(signature_image([new_signature(PAYLOAD, b"x")]).manifest.data)
        kinds: list[dict[str, Any]] = [
            {"mediaType": "application/vnd.dsse.envelope.v1+json"},
            {"annotations": {}},
            {"annotations": None},
            {"annotations": {SIGNATURE_ANNOTATION: 1}},
        ]
        content["layers"] = [content["layers"][0] | each for each in kinds]
        assert [each.encoded for each in parse_signatures(json.dumps(content).encode())] == [""] * 4

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"layers": 1}', b"x" * (2 << 20)])
    def test_what_is_no_manifest(self, data: bytes) -> None:
        with pytest.raises(InvalidInput):
            parse_signatures(data)
