"""Pushing our few images to a registry (OCI distribution-spec 1.1), with the standard library alone.

The product has a client of its own; a cluster that tests it must not depend on it.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from dev.cluster.errors import ClusterError
from dev.cluster.oci import INDEX_TYPE, MANIFEST_TYPE, Blob, Image, tag_of

Body = bytes | BinaryIO | None

TIMEOUT_S = 60
ACCEPTED = f"{MANIFEST_TYPE}, {INDEX_TYPE}, application/vnd.docker.distribution.manifest.v2+json"
"""Kinds of manifests that we ask for; a registry may turn one that is not named into another."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that needs no password."""

    host: str
    ca: Path

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a manifest, by tag or digest; None if it is not there."""
        status, headers = self._call("HEAD", f"/v2/{repository}/manifests/{reference}", {"Accept": ACCEPTED})
        return headers["Docker-Content-Digest"] if status == 200 else None

    def fetch(self, repository: str, what: str) -> bytes:
        """The content of `manifests/<tag or digest>` or `blobs/<digest>`."""
        status, _, content = self._exchange("GET", f"/v2/{repository}/{what}", {"Accept": ACCEPTED})
        if status != 200:
            raise ClusterError(f"registry {self.host}: {repository}/{what} answered {status}")
        return content

    def push(self, repository: str, tag: str, image: Image) -> str:
        """Upload what is missing and return the full reference, by digest."""
        if self.digest(repository, tag) != image.digest:
            for blob in image.blobs:
                self._push_blob(repository, blob)
            self._push_manifest(repository, tag, image.manifest, MANIFEST_TYPE)
        return f"{self.host}/{repository}@{image.digest}"

    def push_index(self, repository: str, tag: str, image: Image, index: Blob) -> str:
        """Upload an image and the index over it, and return the index' full reference, by digest."""
        self.push(repository, tag_of(image), image)
        self._push_manifest(repository, tag, index, INDEX_TYPE)
        return f"{self.host}/{repository}@{index.digest}"

    def _push_manifest(self, repository: str, tag: str, manifest: Blob, media_type: str) -> None:
        path = f"/v2/{repository}/manifests/{tag}"
        self._expect(201, "PUT", path, {"Content-Type": media_type}, manifest.path.read_bytes())

    def _push_blob(self, repository: str, blob: Blob) -> None:
        status, _ = self._call("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
        if status == 200:
            return
        target = urlsplit(self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")["Location"])
        query = f"{target.query}&" if target.query else ""
        path = f"{target.path}?{query}digest={blob.digest}"
        with blob.path.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
            self._expect(201, "PUT", path, headers, content)

    def _expect(
        self, wanted: int, method: str, path: str, headers: dict[str, str] | None = None, body: Body = None
    ) -> Message:
        status, answered = self._call(method, path, headers, body)
        if status != wanted:
            where = path.partition("?")[0]
            raise ClusterError(f"registry {self.host}: {method} {where} answered {status}, not {wanted}")
        return answered

    def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Body = None
    ) -> tuple[int, Message]:
        """One request: its status and its headers."""
        status, answered, _ = self._exchange(method, path, headers, body)
        return status, answered

    def _exchange(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Body = None
    ) -> tuple[int, Message, bytes]:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(self.host, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            content = response.read()
        except OSError as error:
            raise ClusterError(f"registry {self.host}: {error}") from error
        finally:
            connection.close()
        return response.status, response.headers, content
