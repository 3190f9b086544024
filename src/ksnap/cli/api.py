"""The client of a ksnap server's public HTTP API: TLS, deadlines, retries, and the error envelope turned into errors.

Calls that change nothing are repeated while the server cannot be reached; all others are sent once, since a lost
answer does not say whether the work was done. Redirects are not followed: the token is for this server alone.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from ksnap import __version__
from ksnap.cli.server_url import ServerUrl
from ksnap.errors import InvalidInput, KsnapError, RateLimited, Unavailable, by_code

Json = dict[str, Any]
"""A reply: a JSON object whose fields the contract names. Verbs show it, or hand it on unchanged with --output json."""

CONNECT_S = 10.0
CALL_S = 60.0  # for calls that the server answers from its own memory or store
SILENCE_S = 60.0  # a download of any length goes on while bytes come
# Short enough that a mistyped address is told within two seconds, long enough for a server that is restarting.
PAUSES_S = (0.2, 0.5, 1.0)
LONGEST_WAIT_S = 30.0  # what a limit's Retry-After may ask without us giving the error to the user instead
PAGE = 500
REPLY_LIMIT = 64 * 1024 * 1024


class Api:
    """One server, one login. Use as an async context, or `close()` it."""

    def __init__(self, server: ServerUrl, *, token: str = "", ca_cert: str = "", insecure: bool = False) -> None:
        self.server = server
        self._token = token
        self._tls = _tls(ca_cert, insecure=insecure) if server.encrypted else None
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(self, *path: str, query: Mapping[str, object] | None = None, timeout_s: float = CALL_S) -> Json:
        """A call without effects, repeated while the server cannot be reached."""
        return await self._repeated("GET", path, query=query, timeout_s=timeout_s)

    async def ask(self, *path: str, body: Json, timeout_s: float = CALL_S) -> Json:
        """A POST that changes nothing (a test, a verification): repeated like a GET."""
        return await self._repeated("POST", path, body=body, timeout_s=timeout_s)

    async def change(
        self,
        method: str,
        *path: str,
        body: Json | None = None,
        query: Mapping[str, object] | None = None,
        timeout_s: float = CALL_S,
    ) -> Json:
        """A call with effects: sent once."""
        return await self._call(method, path, body=body, query=query, timeout_s=timeout_s)

    async def pages(
        self, *path: str, key: str, query: Mapping[str, object] | None = None, limit: int = 0
    ) -> list[Json]:
        """All entries of a paged list, or the first `limit`."""
        found: list[Json] = []
        seen: set[str] = set()
        while True:
            size = min(PAGE, limit - len(found)) if limit else PAGE
            reply = await self.get(*path, query={**(query or {}), "limit": size, "offset": len(found)})
            entries = reply.get(key, [])
            # Newest first: what is created meanwhile shifts the pages, so an entry may come twice.
            fresh = [each for each in entries if each.get("id") not in seen]
            seen.update(str(each.get("id")) for each in fresh)
            found += fresh
            if len(entries) < size or not fresh or (limit and len(found) >= limit):
                return found

    @asynccontextmanager
    async def stream(
        self, *path: str, query: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response of a download; its body is read by the caller. Errors of status and connection are ours."""
        deadlines = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with self._request("GET", path, query=query, headers=headers, deadlines=deadlines) as response:
            if response.status >= 300:
                raise await _error(response, self.server)
            yield response

    async def _repeated(
        self, method: str, path: tuple[str, ...], *, timeout_s: float, body: Json | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Json:  # fmt: skip
        for pause in PAUSES_S:
            try:
                return await self._call(method, path, body=body, query=query, timeout_s=timeout_s)
            except _NotTrusted:
                raise
            except Unavailable:
                await asyncio.sleep(pause)
            except _Limited as limited:
                if limited.wait_s > LONGEST_WAIT_S:
                    raise
                await asyncio.sleep(limited.wait_s)
        return await self._call(method, path, body=body, query=query, timeout_s=timeout_s)

    async def _call(
        self, method: str, path: tuple[str, ...], *, timeout_s: float, body: Json | None,
        query: Mapping[str, object] | None,
    ) -> Json:  # fmt: skip
        deadlines = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        async with self._request(method, path, query=query, body=body, deadlines=deadlines) as response:
            if response.status >= 300:
                raise await _error(response, self.server)
            return await _object(response, self.server)

    @asynccontextmanager
    async def _request(
        self, method: str, path: tuple[str, ...], *, deadlines: aiohttp.ClientTimeout, body: Json | None = None,
        query: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        """One request; what aiohttp and TLS raise becomes ours here."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True),
                headers={"User-Agent": f"ksnap/{__version__}", "Accept": "application/json"},
                trust_env=not self.server.local,  # a proxy serves for far servers only
            )
        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        given = {name: str(value) for name, value in (query or {}).items() if value is not None and value != ""}
        try:
            async with self._http.request(
                method, self.server.at(*path), params=given, json=body, headers=sent, timeout=deadlines,
                allow_redirects=False,
            ) as response:  # fmt: skip
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            raise _NotTrusted(
                "The server's certificate is not trusted",
                details=f"{self.server}: {error.certificate_error}",
                hint="Give its CA with --ca-file FILE; --insecure goes on without checking",
            ) from error
        except TimeoutError as error:
            raise Unavailable("The server does not answer in time", details=str(self.server)) from error
        except aiohttp.ClientError as error:  # and no OSError: a caller's full disk is not the server's fault
            raise Unavailable(
                "The server cannot be reached",
                details=f"{self.server}: {error}",
                hint="Check that it runs, and the address: --server URL or KSNAP_SERVER",
            ) from error


class _NotTrusted(Unavailable):
    """The certificate will not be better in a second."""


class _Limited(RateLimited):
    """The limit's error with the seconds after which the server takes requests again."""

    wait_s = 0.0


def _tls(ca_cert: str, *, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca_cert or None)
    except ssl.SSLError as error:
        raise InvalidInput(
            "Not a CA certificate", details="no PEM certificate could be read", hint="Check --ca-file"
        ) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > REPLY_LIMIT:
            raise Unavailable("The answer is too long", details=f"more than {REPLY_LIMIT} bytes")
    return bytes(body)


async def _object(response: aiohttp.ClientResponse, server: ServerUrl) -> Json:
    """The body as a JSON object; anything else does not come from a ksnap server."""
    try:
        content = json.loads(await _body(response))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Unavailable(
            "The answer is not a ksnap server's",
            details=f"{server}: status {response.status}, {response.headers.get('Content-Type', 'no content type')}",
            hint="Check the server's address, and what stands in front of it",
        )
    return content


async def _error(response: aiohttp.ClientResponse, server: ServerUrl) -> KsnapError:
    """The error envelope as the error it was; the envelope's details hold the hint already."""
    content = await _object(response, server)
    code, message = str(content.get("code", "")), str(content.get("error", ""))
    if not code or not message:
        return Unavailable("The answer is not a ksnap server's", details=f"{server}: status {response.status}")
    kind = by_code(code, response.status)
    if kind is RateLimited:
        limited = _Limited(message, details=str(content.get("details", "")))
        limited.wait_s = _seconds(response.headers.get("Retry-After", ""))
        return limited
    return kind(message, details=str(content.get("details", "")))


def _seconds(text: str) -> float:
    """Retry-After in seconds; as good as for ever where it is something else."""
    return float(text) if text.isdecimal() else float("inf")
