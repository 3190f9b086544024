"""Reading one blob as a stream (distribution-spec, "Pulling blobs"): gigabytes, over connections that may break.

A broken connection is opened again where it broke (RFC 9110, Range requests), so that a download does not start over.
Read from its start to its end, a blob's digest is verified before its last chunk is handed out.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from ksnap.errors import KsnapError, NotFound, RegistryConnectionFailed
from ksnap.model.backoff import TRANSIENT
from ksnap.model.digest import Digest
from ksnap.registry import failures
from ksnap.registry.client import RegistryClient, repeatable

READ_BYTES = 1 << 18


class WrongBytes(RegistryConnectionFailed):
    """The registry sent other bytes than the digest's."""


@asynccontextmanager
async def open_blob(
    client: RegistryClient, repository: str, digest: Digest, *, offset: int = 0
) -> AsyncIterator[AsyncIterator[bytes]]:
    """A blob as chunks, from `offset` on; NotFound before the first chunk if it is not there."""
    async with AsyncExitStack() as stack:
        source = _Source(client, repository, digest, stack)
        await source.connect(offset)
        yield source.chunks() if offset else _verified(source.chunks(), client.access.host, repository, digest)


class _Source:
    """The blob's bytes, whatever happens to connections meanwhile."""

    def __init__(self, client: RegistryClient, repository: str, digest: Digest, stack: AsyncExitStack) -> None:
        self._client = client
        self._repository = repository
        self._digest = digest
        self._stack = stack
        self._response: aiohttp.ClientResponse | None = None
        self._position = 0
        self._skip = 0
        self._failures = 0

    async def connect(self, position: int) -> None:
        """Ask for the bytes from `position` on; again, while that may help."""
        self._position = position
        while True:
            try:
                await self._ask()
            except (aiohttp.ClientError, OSError) as error:
                await self._after(error)
            else:
                return

    async def chunks(self) -> AsyncIterator[bytes]:
        while self._response is not None:
            try:
                async for chunk in self._response.content.iter_chunked(READ_BYTES):
                    data, self._skip = chunk[self._skip :], max(self._skip - len(chunk), 0)
                    self._position += len(data)
                    if data:
                        self._failures = 0
                        yield data
            except (aiohttp.ClientError, OSError) as error:
                await self._after(error)
                await self.connect(self._position)
            else:
                return

    async def _ask(self) -> None:
        response = await self._stack.enter_async_context(
            self._client.send(
                "GET",
                f"{self._client.base}/v2/{self._repository}/blobs/{self._digest}",
                purpose=f"pull:{self._repository}",
                scope=f"repository:{self._repository}:pull",
                headers={"Range": f"bytes={self._position}-"} if self._position else {},
                follow=True,
            )
        )
        if response.status in TRANSIENT:
            raise aiohttp.ClientPayloadError(f"HTTP {response.status}")
        if response.status not in (200, 206):
            body = await response.content.read(4096)
            error = failures.refused(self._client.access.host, self._repository, response.status, body)
            raise error if isinstance(error, NotFound) else _read_failed(error)
        # A registry that knows no ranges sends all of it.
        self._skip = self._position if response.status == 200 else 0
        self._response = response

    async def _after(self, error: Exception) -> None:
        """Wait before the next try, or give up after several without one byte between them: a read may take hours."""
        # The broken connection goes now: the client has eight of them.
        await self._stack.aclose()
        self._failures += 1
        if self._failures >= self._client.backoff.attempts or not repeatable(error):
            raise _read_failed(self._client.failure(self._repository, error)) from error
        chance = random.random()  # noqa: S311 - spreads load, no secret
        await asyncio.sleep(self._client.backoff.wait_s(self._failures, chance=chance))


async def _verified(chunks: AsyncIterator[bytes], host: str, repository: str, digest: Digest) -> AsyncIterator[bytes]:
    hasher = hashlib.sha256()
    held = b""
    async for chunk in chunks:
        hasher.update(chunk)
        if held:
            yield held
        held = chunk
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise WrongBytes(
            f"Registry {host} sent wrong bytes",
            details=f"{host}/{repository}@{digest}: the digest differs",
            hint="The blob is damaged in the registry or on the way; push it again",
        )
    if held:
        yield held


def _read_failed(error: KsnapError) -> RegistryConnectionFailed:
    """The same words under the code of a read."""
    return RegistryConnectionFailed(error.message, details=error.details, hint=error.hint)
