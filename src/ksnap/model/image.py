"""Image references, parsed once; nothing after that takes a bare string.

The grammar is the one of distribution/reference, without its default registry: ksnap never guesses `docker.io`.
"""

import re
from dataclasses import dataclass, replace

from ksnap.errors import InvalidInput
from ksnap.model.digest import Digest, parse_digest

_HOST = re.compile(r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\Z")
_REPOSITORY = re.compile(r"^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """`host/repository[:tag][@digest]`; at least one of tag and digest where an image is meant."""

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if not _HOST.match(self.host):
            raise InvalidInput("Not a registry host", details=f"{self.host[:100]!r} is no host[:port]")
        check_repository(self.repository)
        if self.tag is not None:
            check_tag(self.tag)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"

    def pinned(self, digest: Digest) -> "ImageRef":
        """The same repository by digest alone: what a restore uses, since a tag may move."""
        return replace(self, tag=None, digest=digest)


def check_repository(name: str) -> str:
    """A repository's name, or InvalidInput that shows what is allowed."""
    if not _REPOSITORY.match(name) or len(name) > 255:
        raise InvalidInput(
            "Not a repository name",
            details=f"{name[:100]!r}",
            hint="Use lower-case letters, digits and single separators ( . _ - / ), 255 characters at most",
        )
    return name


def check_tag(tag: str) -> str:
    """A tag, or InvalidInput that shows what is allowed."""
    if not _TAG.match(tag):
        raise InvalidInput(
            "Not a tag", details=f"{tag[:140]!r}", hint="Use letters, digits, _ . and -, 128 characters at most"
        )
    return tag


def parse_image(text: str) -> ImageRef:
    """A reference from foreign text; it must name its registry host."""
    rest, _, digest = text.partition("@")
    host, slash, path = rest.partition("/")
    if not slash:
        raise InvalidInput("Not an image reference", details=f"{text[:200]!r}", hint="Write host/repository:tag")
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, ""
    return ImageRef(host, repository, tag if colon else None, parse_digest(digest) if digest else None)
