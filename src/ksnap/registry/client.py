"""One registry's HTTP: signing in, repeating what can be repeated, redirects without credentials, errors of ours.

Follows the OCI distribution specification 1.1. `RegistryClient` knows requests; what they mean is in `blobs`,
`manifests` and `image_push`. Requests that carry a stream are sent once; all others are repeated when the registry
is busy or the connection breaks.
"""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import aiohttp

from ksnap import __version__
from ksnap.errors import ImagePushFailed, InvalidInput, KsnapError, RegistryConnectionFailed
from ksnap.model.backoff import TRANSIENT, Backoff, retry_after_s
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry import failures
from ksnap.registry.addresses import resolve, same_origin
from ksnap.registry.auth import RegistryAuth, TokenRequest, TokenResponse

_MAX_ANSWER = 8 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class RegistryTimeouts:
    """How long a client waits for a registry."""

    connect_s: float = 10.0
    idle_s: float = 60.0
    """Without one byte in either direction."""
    commit_s: float = 300.0
    """For the answer that ends an upload: on object stores a registry copies the blob to its place first."""
    cleanup_s: float = 10.0
    """For cancelling an upload after a failure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """Where it came from: the base of a relative Location."""


@dataclass(slots=True)
class RegistryClient:
    """Made by `open_registry`."""

    access: RegistryAccess
    session: aiohttp.ClientSession
    timeouts: RegistryTimeouts
    backoff: Backoff
    auth: RegistryAuth
    _random: random.Random = field(default_factory=random.SystemRandom)

    @property
    def base(self) -> str:
        return f"{self.access.scheme}://{self.access.host}"

    async def ping(self) -> None:
        """The registry answers, speaks the protocol and takes the account; else an error that tells which is not so."""
        answer = await self.request("GET", f"{self.base}/v2/", repository="", purpose="ping", scope="")
        if answer.status == 404:
            raise RegistryConnectionFailed(
                f"{self.access.host} is no container registry",
                details="GET /v2/ answers 404",
                hint="Give the registry's own host and port, without a path",
            )
        if answer.status != 200:
            raise failures.refused(self.access.host, "", answer.status, answer.body)

    async def request(
        self,
        method: str,
        url: str,
        *,
        repository: str,
        purpose: str,
        scope: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = False,
        patience_s: float | None = None,
    ) -> Answer:
        """A request that may be repeated, and is, while the registry is busy or the connection breaks.

        What fails is a push, or else (`purpose` pull or ping) the connection to the registry. `patience_s` replaces
        the idle time where an answer takes longer.
        """

        def sending() -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
            return self.send(
                method, url, purpose=purpose, scope=scope, data=data, headers=headers, follow=follow,
                patience_s=patience_s,
            )  # fmt: skip

        try:
            return await self._repeated(sending, repository)
        except ImagePushFailed as error:
            if purpose.startswith(("pull", "ping")):
                raise RegistryConnectionFailed(error.message, details=error.details, hint=error.hint) from error
            raise

    async def _repeated(
        self, sending: Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]], repository: str
    ) -> Answer:
        attempt = 1
        while True:
            delay: float | None = None
            try:
                async with sending() as response:
                    answer = await self._read(response)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if attempt >= self.backoff.attempts or not repeatable(error):
                    raise self.failure(repository, error) from error
            else:
                if answer.status not in TRANSIENT or attempt >= self.backoff.attempts:
                    if answer.status in (401, 403, 429, 507) or answer.status >= 500:
                        raise failures.refused(self.access.host, repository, answer.status, answer.body)
                    return answer
                delay = retry_after_s(answer.headers.get("Retry-After"), now=datetime.now(UTC))
            await asyncio.sleep(self.backoff.wait_s(attempt, chance=self._random.random(), retry_after_s=delay))
            attempt += 1

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: str,
        *,
        purpose: str,
        scope: str,
        data: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = False,
        patience_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, signed in, raw: its errors are aiohttp's. A stream is sent once: sign in by a request before."""
        sent = dict(headers or {})
        once = partial(self._once, patience_s=patience_s)
        response = await once(method, url, data, sent, self.auth.header(purpose, now=time.monotonic()))
        try:
            if response.status == 401 and same_origin(url, self.base) and not isinstance(data, AsyncIterator):
                challenges = response.headers.getall("WWW-Authenticate", [])
                response.close()
                self.auth.forget(purpose)
                header = await self._sign_in(challenges, purpose, scope)
                response = await once(method, url, data, sent, header)
            if follow:
                response = await self._followed(method, url, sent, response)
            yield response
        finally:
            # An answer that was not read to its end leaves a connection that nobody can use again.
            response.release() if response.content.at_eof() else response.close()

    def failure(self, repository: str, error: Exception) -> KsnapError:
        """aiohttp's error as ours."""
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ssl.SSLError):
            return failures.unreachable(self.access.host, error)
        return failures.interrupted(self.access.host, repository, error)

    async def _once(
        self,
        method: str,
        url: str,
        data: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
        authorization: str | None,
        *,
        patience_s: float | None = None,
    ) -> aiohttp.ClientResponse:
        sent = dict(headers)
        if authorization is not None and same_origin(url, self.base):
            sent["Authorization"] = authorization
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self.timeouts.connect_s, sock_read=patience_s or self.timeouts.idle_s
        )
        return await self.session.request(method, url, data=data, headers=sent, allow_redirects=False, timeout=timeout)

    async def _followed(
        self, method: str, url: str, headers: Mapping[str, str], response: aiohttp.ClientResponse
    ) -> aiohttp.ClientResponse:
        """Redirects of reads: to a blob store, mostly, whose signed address is all the credentials it wants."""
        for _ in range(_MAX_REDIRECTS):
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            url = resolve(url, response.headers["Location"])
            response = await self._once(method, url, None, headers, None)
        response.close()
        raise RegistryConnectionFailed(f"Registry {self.access.host} redirects without end")

    async def _sign_in(self, challenges: list[str], purpose: str, scope: str) -> str:
        flow = self.auth.answer(challenges, purpose=purpose, scope=scope, now=time.monotonic())
        try:
            wanted = next(flow)
            while True:
                wanted = flow.send(await self._token(wanted))
        except StopIteration as done:
            header: str = done.value
            return header

    async def _token(self, wanted: TokenRequest) -> TokenResponse:
        async with self.session.get(wanted.url, headers=wanted.headers, allow_redirects=False) as response:
            answer = await self._read(response)
        return TokenResponse(answer.status, answer.body)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        parts, size = [], 0
        async for part in response.content.iter_chunked(1 << 16):
            size += len(part)
            if size > _MAX_ANSWER:
                response.close()
                raise aiohttp.ClientPayloadError("the answer is far too long")
            parts.append(part)
        return Answer(response.status, response.headers, b"".join(parts), str(response.url))


@asynccontextmanager
async def open_registry(
    access: RegistryAccess, *, timeouts: RegistryTimeouts | None = None, backoff: Backoff | None = None
) -> AsyncIterator[RegistryClient]:
    """A client of one registry with connections of its own; they end with the block."""
    limits = timeouts or RegistryTimeouts()
    context = await asyncio.to_thread(_tls_context, access) if access.scheme == "https" else None
    connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=8)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.idle_s)
    auth = RegistryAuth(
        host=access.host, secure=access.scheme == "https", username=access.username, password=access.password
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers={"User-Agent": f"ksnap/{__version__}"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield RegistryClient(access, session, limits, backoff or Backoff(), auth)


def repeatable(error: Exception) -> bool:
    """Broken connections may heal; a name that does not resolve, a certificate that is not trusted stay so.

    Whoever was silent for the whole idle time is not asked a second time: that would make waiting as long again.
    """
    if isinstance(error, TimeoutError):
        return isinstance(error, aiohttp.ConnectionTimeoutError)
    return not isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorDNSError)


def _tls_context(access: RegistryAccess) -> ssl.SSLContext:
    """Verified by the system's authorities and the registry's own, unless the configuration says otherwise."""
    context = ssl.create_default_context()
    if access.ca_cert:
        try:
            context.load_verify_locations(cadata=access.ca_cert)
        except (ssl.SSLError, ValueError):
            raise InvalidInput(
                "The registry's ca_cert is not usable", details="it is no PEM certificate", hint="Paste the whole file"
            ) from None
    if not access.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
