"""The HTTP sessions of one cluster: ksnap's own, and those of callers, who must not take each other's connections.

Each is made when it is first needed. Authentication is per request, so callers share connections among themselves.
"""

import asyncio

import aiohttp

from ksnap.kube.caller import Caller
from ksnap.kube.credentials import Access
from ksnap.kube.failures import ClusterUnreachable

# More than a hundred at once to one API server is a fault of ours; uploads and event streams are long-lived.
OWN_CONNECTIONS = 100
# Shells and logs that are followed stay open for as long as somebody looks at them; how many, their own limits say.
CALLERS_CONNECTIONS = 2000


class Sessions:
    """Closed as one."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: dict[str, aiohttp.ClientSession] = {}
        self._closed = False

    def of(self, caller: Caller | None) -> aiohttp.ClientSession:
        """The session for ksnap itself or for a caller."""
        if caller is None:
            return self._session("own", with_certificate=True, connections=OWN_CONNECTIONS)
        if caller.has_token:
            return self._session("tokens", with_certificate=False, connections=CALLERS_CONNECTIONS)
        return self._session("impersonated", with_certificate=True, connections=CALLERS_CONNECTIONS)

    def _session(self, kind: str, *, with_certificate: bool, connections: int) -> aiohttp.ClientSession:
        if self._closed:
            raise ClusterUnreachable("The cluster's configuration has changed meanwhile", hint="Try again")
        if kind not in self._open:
            tls = self._access.tls if with_certificate else (self._access.tls_for_tokens or self._access.tls)
            connector = aiohttp.TCPConnector(ssl=tls, limit=connections)
            self._open[kind] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._open[kind]

    async def close(self) -> None:
        self._closed = True
        for session in self._open.values():
            await session.close()
        self._open.clear()
        # TLS connections end one turn of the loop after the session's close (aiohttp, "Graceful shutdown").
        await asyncio.sleep(0)
