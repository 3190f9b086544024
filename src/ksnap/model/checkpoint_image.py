"""What is known of an archive once it was read, and of the image that a registry confirmed.

Messages between agent and server, and the results of the publishing code.
"""

from pydantic import BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ArchiveFacts(_Message):
    """What the archive was, learned in the one pass over its bytes."""

    size_bytes: int
    digest: str
    """sha256 of the tar as the runtime wrote it less what was left out: the layer's diff id, the download's ETag."""
    compressed_bytes: int
    compressed_digest: str
    annotations: dict[str, str] = {}
    """The org.criu.checkpoint.* set read from the archive."""
    frozen_us: int | None = None
    """Microseconds for which the processes stood still, as CRIU measured it."""


class PushedImage(_Message):
    """The image as the registry confirmed it."""

    host: str
    repository: str
    tag: str
    digest: str
    """The index's digest: what a restore names."""
    manifest_digest: str
    config_digest: str
    signature_digest: str = ""
    """The signature manifest's; empty if nobody signed."""
    blobs: list[str] = []
    """Blob digests this capture uploaded itself (they were absent before): what an undo may delete."""
