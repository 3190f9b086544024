"""Keys that sign checkpoint images and that verify them: ECDSA on P-256 with SHA-256, read from PEM (ADR 10).

P-256 because every implementation of cosign's signatures must know it (SIGNATURE_SPEC.md, "Signature Schemes"). A key's
id is the sha256 of its public half in DER (SubjectPublicKeyInfo), which `openssl pkey -pubin -outform DER` shows too.

`cryptography` is imported where it is needed: an agent that neither pushes nor restores does without its 7 MB. The
first call of each function here may thus take a while; from an event loop make it in a thread.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ksnap.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_PUBLIC_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_CURVE = "secp256r1"
_HOW_TO_MAKE = "Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing.pem"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half. Two are equal if they are the same key."""

    key_id: str
    """64 hex digits."""
    pem: str = field(repr=False, compare=False)
    _key: "ec.EllipticCurvePublicKey" = field(repr=False, compare=False)

    def fits(self, signature: bytes, payload: bytes) -> bool:
        """Whether this key's other half made the signature (DER) over the payload."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 # see above
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        try:
            self._key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private half with its public one. Its text shows the id alone."""

    public_key: VerifyingKey
    pem: SecretStr = field(repr=False, compare=False)
    _key: "ec.EllipticCurvePrivateKey" = field(repr=False, compare=False)

    def sign(self, payload: bytes) -> bytes:
        """A signature in DER; another one each time, as ECDSA's are."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 # see above
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        return self._key.sign(payload, ec.ECDSA(hashes.SHA256()))


def new_signing_key() -> SecretStr:
    """A new private key as PEM (PKCS 8)."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 # see above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SecretStr(encoded.decode())


def parse_signing_key(pem: SecretStr) -> SigningKey:
    """A private key on P-256, unencrypted, in PEM; else InvalidInput, which shows nothing of it."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 # see above
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        key = serialization.load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidInput(
            "The signing key cannot be read", details="it is no unencrypted private key in PEM", hint=_HOW_TO_MAKE
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVE:
        raise InvalidInput("The signing key cannot be used", details="it is no EC key on P-256", hint=_HOW_TO_MAKE)
    return SigningKey(_verifying_key(key.public_key()), pem, key)


def parse_public_keys(pem: str) -> tuple[VerifyingKey, ...]:
    """All public keys of a PEM text, at least one: while keys are changed, the old one is trusted beside the new."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 # see above
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    found = []
    for block in _PUBLIC_BLOCK.findall(pem):
        try:
            key = serialization.load_pem_public_key(block.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidInput("A public key cannot be read", details="it is damaged") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVE:
            raise InvalidInput("A public key cannot be used", details="it is no EC key on P-256")
        found.append(_verifying_key(key))
    if not found:
        raise InvalidInput(
            "There is no public key", details="no PUBLIC KEY block in PEM", hint="ksnap registry public-key prints one"
        )
    return tuple(found)


def _verifying_key(key: "ec.EllipticCurvePublicKey") -> VerifyingKey:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 # see above

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded = key.public_bytes(serialization.Encoding.DER, form)
    pem = key.public_bytes(serialization.Encoding.PEM, form).decode()
    return VerifyingKey(hashlib.sha256(encoded).hexdigest(), pem, key)
