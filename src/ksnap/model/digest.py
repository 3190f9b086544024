"""Content digests, as the OCI image specification writes them (image-spec, descriptor.md, "Digests")."""

import re
from typing import NewType

from ksnap.errors import InvalidInput

Digest = NewType("Digest", str)
"""`sha256:` and 64 hex digits. Made by `parse_digest` or `sha256_digest` alone."""

_PATTERN = re.compile(r"^sha256:[0-9a-f]{64}\Z")


def parse_digest(text: str) -> Digest:
    """A digest from foreign text; anything but lower-case sha256 is InvalidInput."""
    if not _PATTERN.match(text):
        raise InvalidInput("Not a digest", details=f"{text[:100]!r} is not sha256:<64 hex digits>")
    return Digest(text)


def sha256_digest(hexdigest: str) -> Digest:
    """The digest of a finished sha256, from its hex form."""
    return parse_digest("sha256:" + hexdigest)
