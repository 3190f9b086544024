"""Secrets at rest: the `*_encrypted` columns are written and read through a `Vault` alone.

Fernet (AES-128-CBC with HMAC-SHA256) from `cryptography`; several keys may be given, so that they can be rotated: the
first encrypts, all decrypt. This protects a stolen database or backup, not a stolen data folder that holds the key.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ksnap.errors import InvalidInput, Unavailable
from ksnap.settings import ServerSettings

KEY_FILE = "encryption.key"


class Vault:
    """Encrypts and decrypts small secrets. Its own text never shows a key."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise InvalidInput("No encryption key", hint="Set KSNAP_ENCRYPTION_KEY or KSNAP_ENCRYPTION_KEY_FILE")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise InvalidInput(
                "Not an encryption key",
                details="a Fernet key is 32 random bytes in URL-safe base64",
                hint="Make one with: openssl rand -base64 32 | tr +/ -_",
            ) from error

    def encrypt(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def decrypt(self, token: bytes) -> bytes:
        """The secret again; Unavailable if no key fits, since the installation lacks its key then."""
        try:
            return self._fernet.decrypt(token)
        except InvalidToken as error:
            raise Unavailable(
                "A stored secret cannot be decrypted",
                details="it was encrypted with another key than those at hand",
                hint="Give the server its former encryption key, or enter the credentials again",
            ) from error

    def encrypt_text(self, secret: str) -> bytes:
        return self.encrypt(secret.encode())

    def decrypt_text(self, token: bytes) -> str:
        return self.decrypt(token).decode()

    def rotate(self, token: bytes) -> bytes:
        """The same secret under the newest key."""
        try:
            return self._fernet.rotate(token)
        except InvalidToken:
            return self.encrypt(self.decrypt(token))  # raises what `decrypt` raises


def open_vault(settings: ServerSettings) -> Vault:
    """The vault of an installation; its key is made at the first start unless one is given. Blocking."""
    return Vault(_keys(settings))


def _keys(settings: ServerSettings) -> list[str]:
    if settings.encryption_key is not None:
        return _split(settings.encryption_key.get_secret_value())
    if settings.encryption_key_file is not None:
        return _split(_read(settings.encryption_key_file))
    own = settings.data_dir / KEY_FILE
    if not own.exists():
        write_private_file(own, Fernet.generate_key() + b"\n")
    return _split(_read(own))


def write_private_file(path: Path, content: bytes) -> None:
    """A new file with mode 0600 that appears whole or not at all; one that is there already is left alone.

    Several servers may start at once: the first one's file counts.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(staged, path)
    except FileExistsError:
        pass
    finally:
        staged.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput("The encryption key's file cannot be read", details=f"{path}: {error.strerror}") from error


def _split(text: str) -> list[str]:
    return [part for part in text.replace(",", "\n").split() if part]
