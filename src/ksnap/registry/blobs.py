"""Blobs: exist, upload, mount, read, delete (distribution-spec, "Pushing blobs", "Pulling blobs").

A blob of unknown length and digest goes up as one PATCH without a length, then a PUT that names the digest, as
docker push does it. A registry that refuses such a PATCH gets the blob in one PUT instead; that needs the digest first.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import structlog

from ksnap.errors import ImagePushFailed, KsnapError, NotFound
from ksnap.model.digest import Digest
from ksnap.registry import failures
from ksnap.registry.addresses import resolve, with_query
from ksnap.registry.blob_read import open_blob
from ksnap.registry.client import Answer, RegistryClient

# Slices of this size go to the socket: a slow registry shows progress, and TLS never encrypts more at once.
WRITE_BYTES = 1 << 20
# Answers to a PATCH without a length that mean "not like this" and not "not now".
_NO_STREAMS = frozenset({404, 405, 411, 415, 501})

log = structlog.get_logger(__name__)


class StreamsRefused(ImagePushFailed):
    """The registry takes no body of unknown length: the blob must be sent in one piece, its digest known before."""


class Blobs:
    """The blobs of one repository."""

    def __init__(self, client: RegistryClient, repository: str) -> None:
        self._client = client
        self.repository = repository
        self._base = f"{client.base}/v2/{repository}/blobs"

    async def exists(self, digest: Digest) -> bool:
        answer = await self._request("HEAD", f"{self._base}/{digest}", purpose="pull", follow=True)
        return answer.status == 200

    async def start_upload(self) -> str:
        """Begin an upload; its address, which `cancel` takes."""
        answer = await self._request("POST", f"{self._base}/uploads/", data=b"")
        return self._location(answer, 202)

    async def stream(self, location: str, pieces: AsyncIterable[bytes]) -> str:
        """Send a blob of any length to an upload; the address where it goes on. Sent once, not repeatable."""
        answer = await self._send_stream("PATCH", location, pieces, {"Content-Type": "application/octet-stream"})
        if answer.status in _NO_STREAMS:
            error = failures.refused(self._host, self.repository, answer.status, answer.body)
            raise StreamsRefused(f"Registry {self._host} takes no streams", details=error.details)
        return self._location(answer, 202, 204, 201)

    async def put_whole(self, location: str, pieces: AsyncIterable[bytes], *, digest: Digest, size: int) -> None:
        """Send a blob whose digest is known in one request. Sent once, not repeatable."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        answer = await self._send_stream(
            "PUT", with_query(location, digest=digest), pieces, headers, answer_s=self._client.timeouts.commit_s
        )
        self._expect(answer, 201, 204)

    async def finish(self, location: str, digest: Digest) -> None:
        """End an upload: the registry compares the digest with what it received."""
        answer = await self._request(
            "PUT", with_query(location, digest=digest), data=b"", patience_s=self._client.timeouts.commit_s
        )
        self._expect(answer, 201, 204)

    async def put_small(self, data: bytes, digest: Digest) -> None:
        """Upload a blob that is at hand."""
        location = await self.start_upload()
        headers = {"Content-Type": "application/octet-stream"}
        try:
            answer = await self._request("PUT", with_query(location, digest=digest), data=data, headers=headers)
            self._expect(answer, 201, 204)
        except BaseException:
            await self.cancel_quietly(location)
            raise

    async def put_new(self, data: bytes, digest: Digest, *, told: Callable[[str], None]) -> None:
        """Upload a blob that is at hand unless it is there; `told` hears of it before it is stored."""
        if not await self.exists(digest):
            told(digest)
            await self.put_small(data, digest)

    async def cancel(self, location: str) -> None:
        """Forget an upload; one that is gone already is no error, nor one that only the registry itself may purge."""
        answer = await self._request("DELETE", location)
        if answer.status != 404 and not self._is_left_to_registry(answer):
            self._expect(answer, 204, 202, 200)

    async def cancel_quietly(self, location: str) -> bool:
        """Cancel after a failure, which is what gets reported, within a deadline of its own; False if it is left."""
        try:
            async with asyncio.timeout(self._client.timeouts.cleanup_s):
                await self.cancel(location)
        except (KsnapError, TimeoutError) as error:
            log.info("upload_left_to_registry", registry=self._host, repository=self.repository, reason=str(error))
            return False
        return True

    async def mount(self, digest: Digest, *, source: str) -> bool:
        """Take a blob over from another repository of this registry; False if the registry would not."""
        url = with_query(f"{self._base}/uploads/", mount=digest, **{"from": source})
        answer = await self._request("POST", url, data=b"")
        if answer.status == 202:
            await self.cancel_quietly(self._location(answer, 202))
        return answer.status == 201

    async def delete(self, digest: Digest) -> bool:
        """Delete a blob; False if it was not there, or if the registry leaves that to its own collector.

        Many do (docker-registry unless configured, most hosted ones): no manifest names the blob any more, so that is
        no failure.
        """
        answer = await self._request("DELETE", f"{self._base}/{digest}", purpose="delete")
        if answer.status == 404 or self._is_left_to_registry(answer):
            return False
        self._expect(answer, 202, 200, 204)
        return True

    def open(self, digest: Digest, *, offset: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A blob as chunks, from `offset` on. Read whole from 0 its digest is verified before the last chunk."""
        return open_blob(self._client, self.repository, digest, offset=offset)

    async def _send_stream(
        self,
        method: str,
        url: str,
        pieces: AsyncIterable[bytes],
        headers: dict[str, str],
        *,
        answer_s: float | None = None,
    ) -> Answer:
        """One request with a streamed body. The deadline runs only while the registry has something to take.

        `answer_s` replaces the idle time once it has everything.
        """
        idle_s = self._client.timeouts.idle_s
        try:
            async with asyncio.timeout(None) as deadline:
                body = _sliced(pieces, deadline, idle_s, answer_s=answer_s or idle_s)
                async with self._client.send(
                    method,
                    url,
                    purpose=f"push:{self.repository}",
                    scope=self._scope("pull,push"),
                    data=body,
                    headers=headers,
                    patience_s=answer_s,
                ) as response:
                    return Answer(response.status, response.headers, await response.content.read(1 << 16), url)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._client.failure(self.repository, error) from error

    async def _request(
        self,
        method: str,
        url: str,
        *,
        purpose: str = "push",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        follow: bool = False,
        patience_s: float | None = None,
    ) -> Answer:
        actions = {"push": "pull,push", "pull": "pull", "delete": "delete"}[purpose]
        return await self._client.request(
            method, url, repository=self.repository, purpose=f"{purpose}:{self.repository}",
            scope=self._scope(actions), data=data, headers=headers, follow=follow,
            patience_s=patience_s,
        )  # fmt: skip

    def _is_left_to_registry(self, answer: Answer) -> bool:
        """The registry knows no such deletion (distribution-spec, "Content Management")."""
        if answer.status != 405 and not (answer.status >= 400 and b'"UNSUPPORTED"' in answer.body):
            return False
        log.info("deletion_left_to_registry", registry=self._host, repository=self.repository, status=answer.status)
        return True

    def _scope(self, actions: str) -> str:
        return f"repository:{self.repository}:{actions}"

    @property
    def _host(self) -> str:
        return self._client.access.host

    def _location(self, answer: Answer, *statuses: int) -> str:
        self._expect(answer, *statuses)
        if "Location" not in answer.headers:
            raise ImagePushFailed(f"Registry {self._host} gave no address for an upload", details=self.repository)
        return resolve(answer.url, answer.headers["Location"])

    def _expect(self, answer: Answer, *statuses: int) -> None:
        if answer.status in statuses:
            return
        error = failures.refused(self._host, self.repository, answer.status, answer.body)
        if isinstance(error, NotFound):
            raise ImagePushFailed(error.message, details=error.details, hint=error.hint)
        raise error


async def _sliced(
    pieces: AsyncIterable[bytes], deadline: asyncio.Timeout, idle_s: float, *, answer_s: float
) -> AsyncIterator[bytes]:
    """The body for aiohttp. Whoever waits is timed: the registry while it takes a slice, not we for our source."""
    clock = asyncio.get_running_loop().time
    async for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), WRITE_BYTES):
            deadline.reschedule(clock() + idle_s)
            yield view[at : at + WRITE_BYTES]  # type: ignore[misc]  # aiohttp takes views; its types say bytes
            deadline.reschedule(None)
    deadline.reschedule(clock() + answer_s)
