"""Expressions put to a Prometheus, or to what speaks its API (Thanos, Mimir, VictoriaMetrics).

After its documentation, "HTTP API": `GET /api/v1/query`, whose answer is a vector with a value a series. TLS is
verified; a token is read from its file for each request, since such files are renewed, and goes over TLS alone.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from ksnap.errors import InvalidInput, KsnapError

TIMEOUT_S = 20.0
# Ten thousand series have some three megabytes.
ANSWER_LIMIT = 64 << 20
SAID_LIMIT = 300


class PrometheusFailed(KsnapError):
    """Prometheus does not answer, or not to this."""

    code = "SERVICE_UNAVAILABLE"
    status = 502


class Series(msgspec.Struct, frozen=True, gc=False):
    """One element of a vector."""

    metric: dict[str, str] = {}
    value: tuple[float, str] = (0.0, "NaN")
    """When, and how much."""


class _Data(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    result_type: str = ""
    result: tuple[Series, ...] = ()


class _Answer(msgspec.Struct, frozen=True, gc=False):
    status: str = ""
    error: str = ""
    data: _Data = _Data()


@dataclass(frozen=True, slots=True)
class Access:
    """Where it is, and how to be let in."""

    url: str
    ca_file: Path | None = None
    """None: the system's authorities."""
    token_file: Path | None = None


class Prometheus:
    """One Prometheus. Connections are made when first needed."""

    def __init__(self, access: Access) -> None:
        if access.token_file is not None and not access.url.startswith("https://"):
            raise InvalidInput(
                "A token for Prometheus would go in clear", details=access.url, hint="Give an https URL, or no token"
            )
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self._lock = asyncio.Lock()

    async def query(self, expression: str) -> tuple[Series, ...]:
        """The present value of an expression that makes a vector."""
        content = await self._get("/api/v1/query", {"query": expression})
        try:
            answer = msgspec.json.decode(content, type=_Answer)
        except msgspec.DecodeError as error:
            raise self._failed("Prometheus' answer is not understood", str(error)) from error
        if answer.status != "success":
            raise self._failed("Prometheus refuses the query", answer.error)
        if answer.data.result_type != "vector":
            raise self._failed("Prometheus' answer is no vector", answer.data.result_type)
        return answer.data.result

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # its TLS connections end one turn later

    async def _get(self, path: str, params: Mapping[str, str]) -> bytes:
        session = await self._opened()
        headers = await asyncio.to_thread(self._authorization)
        deadlines = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with session.get(
                self._access.url.rstrip("/") + path,
                params=params,
                headers=headers,
                timeout=deadlines,
                allow_redirects=False,
            ) as response:
                return self._accepted(response.status, await self._content(response))
        except TimeoutError as error:
            raise self._failed("Prometheus did not answer in time", f"{TIMEOUT_S:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed("Prometheus is unreachable", str(error) or type(error).__name__) from error

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            content += chunk
            if len(content) > ANSWER_LIMIT:
                raise self._failed("Prometheus' answer is too long", f"more than {ANSWER_LIMIT} bytes")
        return bytes(content)

    def _accepted(self, status: int, content: bytes) -> bytes:
        # A bad expression is a 400 or 422 whose body says why, as JSON.
        if status < 300 or status in {400, 422}:
            return content
        hint = "Check the token in KSNAP_PROMETHEUS_TOKEN_FILE" if status in {401, 403} else ""
        raise self._failed("Prometheus refuses", f"HTTP {status}", hint)

    def _authorization(self) -> dict[str, str]:
        file = self._access.token_file
        if file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {file.read_text().strip()}"}
        except OSError as error:
            raise self._failed("The token for Prometheus cannot be read", f"{file}: {error.strerror}") from error

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._lock:
            if self._session is None:
                tls = await asyncio.to_thread(self._tls)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=tls), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
                )
            return self._session

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._access.ca_file)
        except OSError as error:
            raise self._failed("The CA for Prometheus cannot be read", str(error)) from error

    def _failed(self, message: str, details: str, hint: str = "") -> PrometheusFailed:
        return PrometheusFailed(message, details=f"{self._access.url}: {details[:SAID_LIMIT]}", hint=hint)
