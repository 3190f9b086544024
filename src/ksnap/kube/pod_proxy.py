"""The way to an agent: HTTPS to a pod through the API server's proxy, streaming in both directions.

The proxy drops our Authorization header and does not verify the pod's certificate (Kubernetes has no setting for it);
hence the agent's own header with a token that only an agent accepts. What the API server itself answers (a `Status`:
no such pod, no connection to it) becomes an error here; what the agent answers is handed on, whatever its status.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.failures import ClusterUnreachable, from_exception, from_status, is_status
from ksnap.kube.reviews import ServiceAccountTokens

CHUNK_BYTES = 256 * 1024


class ProxyResponse:
    """An agent's answer, read once."""

    def __init__(self, response: aiohttp.ClientResponse, cluster: str, *, head: bytes | None = None) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._cluster = cluster
        self._head = head

    async def read(self, limit: int) -> bytes:
        """The body, at most `limit` bytes of it."""
        if self._head is not None:
            return self._head[:limit]
        parts, size = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size >= limit:
                break
        return b"".join(parts)[:limit]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; a broken connection is ClusterUnreachable."""
        if self._head is not None:
            yield self._head
            return
        try:
            async for chunk in self._response.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_exception(error, self._cluster) from error

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line, empty ones too, without their ends."""
        try:
            while line := await self._response.content.readuntil(b"\n"):
                yield line.rstrip(b"\r\n")
        except (aiohttp.ClientError, OSError, TimeoutError, LineTooLong) as error:
            raise from_exception(error, self._cluster) from error


class PodProxy:
    """One pod's HTTPS port. `header` carries the token of `tokens` in every request."""

    def __init__(
        self,
        connection: ClusterConnection,
        *,
        namespace: str,
        pod: str,
        port: int,
        header: str,
        tokens: ServiceAccountTokens,
    ) -> None:
        self._connection = connection
        self._what = f"agent {namespace}/{pod}"
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/https:{quote(pod, safe='')}:{port}/proxy"
        self._header = header
        self._tokens = tokens

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[ProxyResponse]:
        """One exchange with the pod. `silence_s` bounds the wait for each piece; default: the cluster's timeout."""
        token = await self._tokens.token()
        headers = {self._header: "Bearer " + token.get_secret_value()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        bound = self._connection.config.timeout_s
        deadlines = aiohttp.ClientTimeout(total=None, sock_connect=bound, sock_read=silence_s or bound)
        async with self._connection.request(
            method, self._path + path, params=params, data=body, headers=headers, deadlines=deadlines
        ) as response:
            head = await self._checked(response)
            if response.status == 401:
                self._tokens.refused()
            yield ProxyResponse(response, self._connection.name, head=head)

    async def _checked(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The body of a refusal, read; raises if the API server itself refused. None: nothing was read."""
        if response.status < 400:
            return None
        body = await response.content.read(ERROR_BODY_LIMIT)
        if is_status(body) or (response.status in {502, 503, 504} and b'"success"' not in body):
            raise self._unreachable(response.status, body)
        return body

    def _unreachable(self, status: int, body: bytes) -> Exception:
        error = from_status(status, body, self._connection.name, self._what)
        if status == 404:
            # Replaced between the look for it and the call: whoever waits for an agent waits for this one's successor.
            return ClusterUnreachable("The node's agent is gone", details=error.details, hint="Try again in a moment")
        if isinstance(error, ClusterUnreachable):
            return ClusterUnreachable(
                "The node's agent does not answer", details=error.details, hint="Check the agent's pod and its log"
            )
        return error
