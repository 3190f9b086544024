"""Whether what stands in a form would do: asked at every key, before anything is deployed. Pure.

Image references follow the grammar of distribution/reference, with its rule of what the first part is.
"""

import re

from ksnap.errors import InvalidInput
from ksnap.model.image import ImageRef

PROTOCOLS = ("TCP", "UDP")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:([0-9a-fA-F]{32,})")
_SHA256_DIGITS = 64
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
# Where no host is given it is this one; only for the check, nothing is asked there.
_DEFAULT_HOST = "docker.io"


def why_no_image(reference: str) -> str:
    """What is wrong with an image reference; empty if nothing is."""
    name, at_sign, digest = reference.partition("@")
    if at_sign and not _is_digest(digest):
        return f"invalid reference format: {digest[:100]!r} is no digest"
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = _DEFAULT_HOST, name
    repository, colon, tag = rest.partition(":")
    if _IDENTIFIER.fullmatch(repository):
        return "invalid repository name: 64 hexadecimal digits are an image's id"
    if repository != repository.lower():
        return "invalid reference format: repository name must be lowercase"
    try:
        ImageRef(first, repository, tag if colon else None)
    except InvalidInput as error:
        return f"invalid reference format: {error.message}: {error.details}"
    return ""


def protocol_fits(protocol: str, *, is_external: bool) -> bool:
    """Load balancers of most clouds carry no UDP."""
    return not (protocol.upper() == "UDP" and is_external)


def _is_digest(text: str) -> bool:
    found = _DIGEST.fullmatch(text)
    return found is not None and (not text.startswith("sha256:") or len(found[1]) == _SHA256_DIGITS)
