"""Manifests and indexes by digest or tag (distribution-spec, "Pulling manifests", "Pushing manifests")."""

import hashlib
from dataclasses import dataclass

from ksnap.errors import ImagePushFailed, NotFound, RegistryConnectionFailed
from ksnap.model.digest import Digest, parse_digest, sha256_digest
from ksnap.oci.checkpoint_image import INDEX_TYPE, MANIFEST_TYPE, Document
from ksnap.registry import failures
from ksnap.registry.client import Answer, RegistryClient

_ACCEPT = f"{INDEX_TYPE}, {MANIFEST_TYPE}"
# Whatever a tag may name, Docker's own types too. Without them a registry converts such an image or denies it.
_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT_ANY = f"{_ACCEPT}, {_DOCKER}.list.v2+json, {_DOCKER}.v2+json"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as the registry holds it; the digest is of these very bytes."""

    media_type: str
    data: bytes
    digest: Digest


class Manifests:
    """The manifests of one repository."""

    def __init__(self, client: RegistryClient, repository: str) -> None:
        self._client = client
        self._repository = repository

    async def head(self, reference: str, *, foreign: bool = False) -> Digest | None:
        """The digest that a tag or digest leads to; None if it is not there. `foreign`: also if it is none of ours."""
        answer = await self._request("HEAD", reference, headers={"Accept": _ACCEPT_ANY if foreign else _ACCEPT})
        if answer.status == 404:
            return None
        self._expect(answer, 200)
        found = answer.headers.get("Docker-Content-Digest", "")
        if found:
            return parse_digest(found)
        return (await self.get(reference, foreign=foreign)).digest

    async def get(self, reference: str, *, foreign: bool = False) -> StoredManifest:
        """The manifest of a tag or digest; NotFound if it is not there."""
        answer = await self._request("GET", reference, headers={"Accept": _ACCEPT_ANY if foreign else _ACCEPT})
        if answer.status != 200:
            raise failures.refused(self._client.access.host, self._repository, answer.status, answer.body)
        digest = sha256_digest(hashlib.sha256(answer.body).hexdigest())
        if reference.startswith("sha256:") and reference != digest:
            raise RegistryConnectionFailed(
                f"Registry {self._client.access.host} sent a wrong manifest",
                details=f"{self._repository}@{reference}: the digest differs",
            )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return StoredManifest(media_type, answer.body, digest)

    async def put(self, document: Document, reference: str) -> None:
        """Store a manifest under its digest or a tag."""
        answer = await self._request(
            "PUT", reference, purpose="push", data=document.data, headers={"Content-Type": document.media_type}
        )
        self._expect(answer, 201, 200, 202, 204)

    async def delete(self, reference: str) -> bool:
        """Delete by digest (with all its tags) or by tag where the registry can; False if it was not there."""
        answer = await self._request("DELETE", reference, purpose="delete")
        if answer.status == 404:
            return False
        self._expect(answer, 202, 200, 204)
        return True

    async def _request(
        self,
        method: str,
        reference: str,
        *,
        purpose: str = "pull",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        actions = {"push": "pull,push", "pull": "pull", "delete": "delete"}[purpose]
        return await self._client.request(
            method,
            f"{self._client.base}/v2/{self._repository}/manifests/{reference}",
            repository=self._repository,
            purpose=f"{purpose}:{self._repository}",
            scope=f"repository:{self._repository}:{actions}",
            data=data,
            headers=headers,
            follow=purpose == "pull",
        )

    def _expect(self, answer: Answer, *statuses: int) -> None:
        if answer.status in statuses:
            return
        error = failures.refused(self._client.access.host, self._repository, answer.status, answer.body)
        if isinstance(error, NotFound):
            raise ImagePushFailed(error.message, details=error.details, hint=error.hint)
        raise error
