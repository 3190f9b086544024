"""Signed permits: for one very container and image, by a trusted key, for a short while, and by no trick."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ksnap.errors import InvalidInput, NotPermitted
from ksnap.oci.restore_permit import (
    AUDIENCE,
    LIFETIME_S,
    LONGEST_S,
    MAX_BYTES,
    TYPE,
    RestorePermit,
    check_permit,
    issue_permit,
)
from ksnap.oci.signing_keys import SigningKey
from tests.parties.checkpoint_keys import new_key

OURS = new_key()
PERMIT = RestorePermit("prod", "shop", "web-1", "app", "sha256:" + "a" * 64)
# What a node sees: the pod has its uid by then.
SEEN = replace(PERMIT, uid="6e7c1f0a")
KEYS = [new_key().public_key, OURS.public_key]


def issued(permit: RestorePermit = PERMIT, *, key: SigningKey = OURS, age_s: float = 0, **options: float) -> str:
    return issue_permit(key, permit, now=time.time() - age_s, **options)


def forged(key: Any = None, algorithm: str = "ES256", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """By whoever has the key, or no key at all; a claim of None is left out."""
    now = int(time.time())
    whole: dict[str, Any] = {
        "cluster": "prod",
        "namespace": "shop",
        "pod": "web-1",
        "container": "app",
        "digest": PERMIT.digest,
    }
    whole |= {"aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": "0" * 32, **claims}
    payload = {name: value for name, value in whole.items() if value is not None}
    key = OURS.pem.get_secret_value() if key is None else key
    return jwt.encode(payload, key, algorithm=algorithm, headers={"typ": TYPE, **(header or {})})


def refusal(text: str, wanted: RestorePermit = SEEN) -> str:
    with pytest.raises(NotPermitted) as caught:
        check_permit(text, KEYS, wanted)
    assert text not in str(caught.value) + caught.value.explanation
    return caught.value.details


def test_what_a_trusted_key_permits_holds() -> None:
    text = issued()
    permit_id = check_permit(text, KEYS, SEEN)
    assert jwt.decode(text, options={"verify_signature": False}) | {"iat": 0, "exp": 0} == {
        "cluster": "prod", "namespace": "shop", "pod": "web-1", "container": "app", "digest": PERMIT.digest,
        "aud": AUDIENCE, "iat": 0, "exp": 0, "jti": permit_id,
    }  # fmt: skip
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "typ": TYPE, "kid": OURS.public_key.key_id}
    assert check_permit(forged(), KEYS, SEEN) == "0" * 32, "so that the forged ones below fail for their own reason"


def test_two_permits_have_two_ids() -> None:
    assert check_permit(issued(), KEYS, SEEN) != check_permit(issued(), KEYS, SEEN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster", "staging"), ("namespace", "other"), ("pod", "web-2"), ("container", "sidecar"),
        ("digest", "sha256:" + "b" * 64), ("uid", "another"),
    ],
)  # fmt: skip
def test_it_is_for_nobody_and_nothing_else(field: str, value: str) -> None:
    permit = replace(SEEN, **{field: value})
    assert refusal(issued(permit)) == f"it is for another {field}"


def test_a_pod_that_was_known_is_named_by_its_uid() -> None:
    check_permit(issued(SEEN), KEYS, SEEN)


def test_it_ends() -> None:
    check_permit(issued(age_s=LIFETIME_S - 30), KEYS, SEEN)
    assert refusal(issued(age_s=LIFETIME_S + 120)) == "it is over"


def test_one_of_the_future_or_for_ever_is_refused() -> None:
    assert refusal(issued(age_s=-600)).startswith("it is not valid")
    now = int(time.time())
    assert "the most" in refusal(forged(exp=now + int(LONGEST_S) + 60))
    assert "its times" in refusal(forged(exp=float(now + 60)))
    with pytest.raises(InvalidInput):
        issued(lifetime_s=LONGEST_S + 1)


def test_another_key_permits_nothing() -> None:
    assert refusal(issued(key=new_key())) == "no trusted key signed it"
    with pytest.raises(NotPermitted):
        check_permit(issued(), [], SEEN)


def test_what_was_changed_is_refused() -> None:
    header, payload, signature = issued(replace(PERMIT, pod="web-2")).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(claims | {"pod": "web-1"}).encode()).decode().rstrip("=")
    assert refusal(f"{header}.{changed}.{signature}") == "no trusted key signed it"
    assert refusal(f"{header}.{changed}.") == "no trusted key signed it"


class TestAlgorithms:
    def test_none_is_no_signature(self) -> None:
        assert "InvalidAlgorithm" in refusal(forged("", "none"))
        for name in ("none", "None", "nOnE"):
            unsigned = by_hand({"alg": name, "typ": TYPE}, b"").rpartition(".")[0] + "."
            assert "InvalidAlgorithm" in refusal(unsigned)

    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    def test_a_public_key_is_no_shared_secret(self, algorithm: str) -> None:
        # PyJWT refuses to do this for an attacker: done by hand, as an attacker would.
        assert "InvalidAlgorithm" in refusal(by_hand({"alg": algorithm, "typ": TYPE}, OURS.public_key.pem.encode()))

    def test_another_curve_is_refused(self) -> None:
        key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert "InvalidAlgorithm" in refusal(forged(key, "ES384"))


@pytest.mark.parametrize("name", ["aud", "iat", "exp", "jti", "cluster", "namespace", "pod", "container", "digest"])
def test_nothing_may_be_left_out(name: str) -> None:
    left_out: dict[str, Any] = {name: None}
    assert refusal(forged(**left_out))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"}, {"aud": [AUDIENCE, "another"]}, {"aud": [AUDIENCE]}, {"jti": ""}, {"jti": 7}, {"pod": 1},
        {"uid": 5}, {"nbf": 4_000_000_000}, {"iat": "x"}, {"exp": None}, {"cluster": ["prod"]},
    ],
    ids=str,
)  # fmt: skip
def test_odd_claims_are_refused(claims: dict[str, Any]) -> None:
    assert refusal(forged(**claims))


def test_a_text_of_another_type_is_refused() -> None:
    assert refusal(forged(header={"typ": "JWT"})) == "it is a signed text of another type"


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["", "x", "a.b", "a.b.c", "..", "é.é.é", "x" * (MAX_BYTES + 1), "{}", part("[" * 3000) + ".e30.AAAA",
     part('{"alg":' * 400) + ".e30.AAAA", part("9" * 3000) + ".e30.AAAA", part("[]") + ".e30.AAAA",
     part('{"alg": ["ES256"]}') + ".e30.AAAA", part('{"alg": "ES256", "crit": 1}') + ".e30.AAAA"],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(NotPermitted):
        check_permit(text, KEYS, SEEN)


def by_hand(header: dict[str, str], secret: bytes) -> str:
    """A text that is signed by a shared secret, with any header."""
    parts = [header, jwt.decode(issued(), options={"verify_signature": False})]
    signed = ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts)
    digest = hashlib.sha256 if header["alg"] == "HS256" else hashlib.sha512
    mac = hmac.new(secret, signed.encode(), digest).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
