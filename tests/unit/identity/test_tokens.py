"""Tokens: what is issued verifies until its end, and nothing else does."""

import base64
import hashlib
import hmac
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from ksnap.errors import InvalidInput, NotAuthenticated
from ksnap.identity.tokens import Claims, Tokens, is_foreign, open_tokens
from ksnap.settings import ServerSettings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TOKENS = Tokens(KEY, life_s=3600)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_issued_token_verifies_until_its_end() -> None:
    token = TOKENS.issue("ann", "viewer", 3, NOW)
    assert token.expires_at == NOW + timedelta(hours=1)
    assert TOKENS.verify(token.text, NOW) == Claims("ann", 3, token.expires_at)
    assert TOKENS.verify(token.text, token.expires_at - timedelta(seconds=1)) == Claims("ann", 3, token.expires_at)
    with pytest.raises(NotAuthenticated, match="not valid") as caught:
        TOKENS.verify(token.text, token.expires_at)
    assert "expired" in caught.value.details


def test_no_two_tokens_are_equal() -> None:
    assert len({TOKENS.issue("ann", "viewer", 1, NOW).text for _ in range(10)}) == 10


@given(st.text(max_size=300))
def test_arbitrary_text_is_no_token(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(text, NOW)


@given(st.integers(min_value=0, max_value=600), st.characters(codec="ascii", categories=("L", "N")))
def test_a_changed_token_is_refused(place: int, character: str) -> None:
    good = TOKENS.issue("ann", "viewer", 1, NOW).text
    place %= len(good) - 2  # the last character's unused bits may be anything
    changed = good[:place] + character + good[place + 1 :]
    if changed != good:
        with pytest.raises(NotAuthenticated):
            TOKENS.verify(changed, NOW)


@pytest.mark.parametrize("missing", ["iss", "sub", "role", "iat", "exp", "jti", "gen"])
def test_a_claim_that_is_missing_makes_a_token_invalid(missing: str) -> None:
    claims = {"iss": "ksnap", "sub": "a", "role": "viewer", "iat": 1, "exp": 4102444800, "jti": "x", "gen": 1}
    del claims[missing]
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(jwt.encode(claims, KEY, algorithm="RS256"), NOW)


def test_another_installations_token_is_refused() -> None:
    other = Tokens(rsa.generate_private_key(public_exponent=65537, key_size=2048), life_s=3600)
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(other.issue("ann", "viewer", 1, NOW).text, NOW)


def test_a_public_key_used_as_a_secret_is_refused() -> None:
    """The classic confusion of algorithms; PyJWT refuses to sign so, hence by hand."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": "ksnap", "sub": "a", "role": "viewer", "iat": 1, "exp": 4102444800, "jti": "x", "gen": 1}
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in ({"alg": "HS256"}, claims)]
    signature = hmac.new(public, b".".join(parts), hashlib.sha256).digest()
    forged = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(forged, NOW)


def test_a_foreign_issuer_is_told_from_ours_and_from_nonsense() -> None:
    assert not is_foreign(TOKENS.issue("ann", "viewer", 1, NOW).text)
    assert is_foreign(jwt.encode({"iss": "https://kubernetes.default.svc"}, "k" * 32, algorithm="HS256"))
    assert not is_foreign("nonsense")


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = ServerSettings(data_dir=tmp_path)
    token = open_tokens(settings).issue("ann", "viewer", 1, NOW)
    assert open_tokens(settings).verify(token.text, NOW) == Claims("ann", 1, token.expires_at)
    assert stat.S_IMODE(os.stat(tmp_path / "token.key").st_mode) == 0o600


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused


@pytest.mark.parametrize("content", [b"", b"no key", _pem(ec.generate_private_key(ec.SECP256R1())), _pem(WEAK)])
def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "given.key"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        open_tokens(ServerSettings(data_dir=tmp_path, token_key_file=path))
    assert str(path) in caught.value.details
