"""Foreign text of configurations, checked once: URLs, PEM, base64. Pure; InvalidInput names the field."""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ksnap.errors import InvalidInput
from ksnap.kube.kubeconfig import is_bearer_token
from ksnap.model.image import ImageRef, check_repository


@dataclass(frozen=True, slots=True)
class RegistryLocation:
    """Where a registry is: `scheme://host[:port]`, and the repository prefix below it."""

    scheme: Literal["https", "http"]
    host: str
    prefix: str = ""


def registry_location(url: str) -> RegistryLocation:
    """Scheme optional, https by default; the path is a repository prefix; user info is refused."""
    parts = _split("url", url if "://" in url else f"https://{url}")
    scheme: Literal["https", "http"]
    if parts.scheme == "https":
        scheme = "https"
    elif parts.scheme == "http":
        scheme = "http"
    else:
        raise invalid("url", "its scheme is neither https nor http")
    prefix = parts.path.strip("/")
    try:
        ImageRef(parts.netloc, "any")
        if prefix:
            check_repository(prefix)
    except InvalidInput as error:
        raise invalid("url", f"{error.message}: {error.details}", hint=error.hint) from error
    return RegistryLocation(scheme, parts.netloc, prefix)


def api_server_url(url: str) -> str:
    """`https://host[:port][/path]`, without a slash at its end."""
    parts = _split("api_server_url", url)
    if parts.scheme != "https":
        raise invalid("api_server_url", "it does not begin with https://", hint="Write https://HOST:PORT")
    return f"https://{parts.netloc}{parts.path.rstrip('/')}"


def ca_certificate(pem: str) -> str:
    """PEM certificates, or nothing. Comments between them are dropped: Python's TLS takes ASCII alone."""
    if not pem.strip():
        return ""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise invalid("ca_cert", "it is not a PEM certificate") from error
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in certificates)


def bearer_token(field: str, text: str) -> str:
    """A token without the white space around it; what no header can carry is refused."""
    token = text.strip()
    if not is_bearer_token(token):
        raise invalid(field, "it holds white space or control characters", hint="Give the token alone, on one line")
    return token


def base64_text(field: str, text: str) -> str:
    """UTF-8 text out of base64; line breaks within are borne."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid(field, "it is not base64 of text", hint="Encode the file: base64 < FILE") from error


def invalid(field: str, why: str, *, hint: str = "") -> InvalidInput:
    """A field that is not as it should be."""
    return InvalidInput("The configuration is not valid", details=f"{field}: {why}", hint=hint)


def _split(field: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise invalid(field, "it is not a URL") from error
    if parts.username is not None or parts.password is not None:
        raise invalid(field, "it holds a user or password", hint="Give the account in its own fields")
    if parts.query or parts.fragment:
        raise invalid(field, "it holds a query or fragment")
    if not parts.hostname or any(character.isspace() for character in url):
        raise invalid(field, "it names no host")
    try:
        parts.hostname.encode("idna")  # what a connection does first, where its error would be nobody's
    except UnicodeError as error:
        raise invalid(field, "its host is no host name") from error
    return parts
