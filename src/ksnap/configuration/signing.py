"""The installation's signing key: made at the first start, as the tokens' key is, unless one is given.

It signs what agents push, to whom it travels with each request, and what the server pushes itself. Several servers
that share a database need one key between them: a node that trusts one would refuse what another signed.
"""

from pathlib import Path

from pydantic import SecretStr

from ksnap.errors import InvalidInput
from ksnap.oci.signing_keys import SigningKey, new_signing_key, parse_signing_key
from ksnap.settings import ServerSettings
from ksnap.store.encryption import write_private_file

KEY_FILE = "signing.key"


def open_signing_key(settings: ServerSettings) -> SigningKey:
    """The key, from the file that was named or from our own. Blocking."""
    path = settings.signing_key_file or settings.data_dir / KEY_FILE
    if settings.signing_key_file is None and not path.exists():
        write_private_file(path, new_signing_key().get_secret_value().encode())
    try:
        return parse_signing_key(SecretStr(_text(path)))
    except InvalidInput as error:
        raise InvalidInput(error.message, details=f"{path}: {error.details}", hint=error.hint) from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(
            "The signing key cannot be read",
            details=f"{path}: {error.strerror}",
            hint="Correct KSNAP_SIGNING_KEY_FILE, or let the server make a key",
        ) from error
    except UnicodeDecodeError:
        raise InvalidInput("The signing key cannot be read", details=f"{path} is not PEM") from None
