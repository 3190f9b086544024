"""Keys: what is read, what is refused, and that nothing of a private one is ever shown."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from pydantic import SecretStr

from ksnap.errors import InvalidInput
from ksnap.oci.signing_keys import new_signing_key, parse_public_keys, parse_signing_key

KEY = parse_signing_key(new_signing_key())
OPENSSL = shutil.which("openssl") or ""
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="needs the openssl command")
PKCS8, SEC1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def pem_of(
    key: PrivateKeyTypes, form: serialization.PrivateFormat = PKCS8, *, passphrase: bytes | None = None
) -> SecretStr:
    hiding = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return SecretStr(key.private_bytes(serialization.Encoding.PEM, form, hiding).decode())


def test_what_was_signed_fits_and_nothing_else_does() -> None:
    signature = KEY.sign(b"payload")
    assert KEY.public_key.fits(signature, b"payload")
    assert not KEY.public_key.fits(signature, b"another payload")
    assert not KEY.public_key.fits(b"no DER", b"payload")
    assert not KEY.public_key.fits(b"", b"payload")
    assert not parse_signing_key(new_signing_key()).public_key.fits(signature, b"payload")


def test_a_key_is_read_in_both_forms_and_keeps_its_id() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for form in (PKCS8, SEC1):
        assert parse_signing_key(pem_of(key, form)).public_key.key_id == hashlib.sha256(encoded).hexdigest()


def test_a_private_key_is_never_shown() -> None:
    secret = KEY.pem.get_secret_value().splitlines()[1]
    assert secret not in f"{KEY} {KEY!r}"
    assert KEY.public_key.key_id in repr(KEY)


@pytest.mark.parametrize(
    "pem",
    [
        SecretStr(""),
        SecretStr("no key"),
        SecretStr(KEY.public_key.pem),
        SecretStr(
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
        ),
        pem_of(ec.generate_private_key(ec.SECP256R1()), passphrase=b"locked"),
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
        pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        SecretStr(KEY.pem.get_secret_value()[:80]),
    ],
)
def test_what_is_no_p256_key_is_refused_unseen(pem: SecretStr) -> None:
    with pytest.raises(InvalidInput, match="signing key cannot be") as caught:
        parse_signing_key(pem)
    shown = f"{caught.value.message} {caught.value.explanation}"
    assert "openssl genpkey" in shown
    assert not any(len(line) > 8 and line in shown for line in pem.get_secret_value().splitlines())
    assert caught.value.__cause__ is None


def test_several_public_keys_of_one_text() -> None:
    other = parse_signing_key(new_signing_key()).public_key
    text = f"the old one\n{KEY.public_key.pem}\nthe new one\n{other.pem}"
    assert parse_public_keys(text) == (KEY.public_key, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        KEY.public_key.pem.replace("M", "!"),
        KEY.public_key.pem[:60],
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="public key"):
        parse_public_keys(text)


def test_a_private_key_is_no_public_one() -> None:
    """Whoever mixes the files up must not find the private key in the nodes' configuration, working."""
    with pytest.raises(InvalidInput):
        parse_public_keys(KEY.pem.get_secret_value())


@needs_openssl
def test_openssl_verifies_ours(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_text(KEY.public_key.pem)
    (tmp_path / "payload").write_bytes(b"payload")
    (tmp_path / "signature").write_bytes(KEY.sign(b"payload"))
    done = subprocess.run(
        [OPENSSL, "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "payload"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Verified OK"), done.stderr


@needs_openssl
def test_a_key_that_openssl_made_is_taken_with_its_parameters(tmp_path: Path) -> None:
    """`ecparam -genkey` puts a block of parameters before the key."""
    made = subprocess.run(
        [OPENSSL, "ecparam", "-name", "prime256v1", "-genkey"], capture_output=True, text=True, check=True
    )
    assert "EC PARAMETERS" in made.stdout
    key = parse_signing_key(SecretStr(made.stdout))
    assert key.public_key.fits(key.sign(b"x"), b"x")
