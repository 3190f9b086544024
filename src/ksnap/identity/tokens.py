"""Tokens: JWT, RS256, signed by a key of this installation (contract, section 1).

Claims: `sub`, `role`, `iat`, `exp`, `jti`, and `gen`, the user's generation when it was issued: a change of password
or role raises the user's own, and the token is refused from then on. `iss` tells ours from a service account's.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ksnap.errors import InvalidInput, NotAuthenticated
from ksnap.settings import ServerSettings
from ksnap.store.encryption import write_private_file

ISSUER = "ksnap"
ALGORITHM = "RS256"
KEY_FILE = "token.key"
KEY_BITS = 2048
_REQUIRED = ("sub", "role", "iat", "exp", "jti", "gen", "iss")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says; whether its user still is what it says is asked of the database."""

    username: str
    generation: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IssuedToken:
    text: str
    expires_at: datetime


class Tokens:
    """Issues and verifies the tokens of one installation."""

    def __init__(self, private_key: rsa.RSAPrivateKey, *, life_s: int) -> None:
        self._private_key = private_key
        self._public_key = private_key.public_key()
        self._life = timedelta(seconds=life_s)
        self._key_id = _key_id(self._public_key)

    def issue(self, username: str, role: str, generation: int, now: datetime) -> IssuedToken:
        expires_at = now.replace(microsecond=0) + self._life
        claims = {
            "iss": ISSUER,
            "sub": username,
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": secrets.token_hex(16),
            "gen": generation,
        }
        text = jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self._key_id})
        return IssuedToken(text, expires_at)

    def derived_key(self, purpose: str, length: int) -> bytes:
        """A key for another purpose (HKDF, RFC 5869): servers that share their logins share it, too."""
        secret = self._private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return HKDF(hashes.SHA256(), length, salt=None, info=f"ksnap {purpose}".encode()).derive(secret)

    def verify(self, token: str, now: datetime) -> Claims:
        """The claims of a token that we signed and that has not expired; else NotAuthenticated."""
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False},
            )
            username, generation, expires = str(claims["sub"]), int(claims["gen"]), int(claims["exp"])
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise invalid_token("it is not a token of this server") from error
        if now.timestamp() >= expires:
            raise invalid_token("it has expired")
        return Claims(username, generation, datetime.fromtimestamp(expires, UTC))


def is_ours(token: str) -> bool:
    """Whether a token, unverified, says that this server issued it."""
    try:
        return bool(jwt.decode(token, options={"verify_signature": False}).get("iss") == ISSUER)
    except (jwt.PyJWTError, ValueError):
        return False


def is_foreign(token: str) -> bool:
    """Whether a token, unverified, says that another than this server issued it: maybe a service account's."""
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError):
        return False
    return issuer != ISSUER


def invalid_token(why: str) -> NotAuthenticated:
    return NotAuthenticated("The token is not valid", details=why, hint="Log in again")


def open_tokens(settings: ServerSettings) -> Tokens:
    """The installation's tokens; their key is made at the first start unless one is given. Blocking."""
    path = settings.token_key_file or settings.data_dir / KEY_FILE
    if settings.token_key_file is None and not path.exists():
        write_private_file(path, _new_key())
    return Tokens(_load(path), life_s=settings.token_life_s)


def _new_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput("The tokens' key cannot be read", details=str(path), hint="Give a PEM RSA key") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS:
        raise InvalidInput("The tokens' key cannot be used", details=f"{path} is no RSA key of {KEY_BITS} bits or more")
    return key


def _key_id(key: rsa.RSAPublicKey) -> str:
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()[:16]
