"""One SockJS server for all tests of this folder; each takes a session of its own."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.parties.sockjs_server import running_sockjs_server
from tests.sockjs.client import LIMIT_S, Server, Service


@pytest.fixture(scope="session")
def sockjs_url() -> Iterator[str]:
    with running_sockjs_server() as url:
        yield url


@pytest.fixture
async def server(sockjs_url: str) -> AsyncIterator[Server]:
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(sockjs_url, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Server(session)


@pytest.fixture
def echo(server: Server) -> Service:
    return server.echo


@pytest.fixture
def close(server: Server) -> Service:
    return server.close
