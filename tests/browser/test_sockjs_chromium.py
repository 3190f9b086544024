"""sockjs-client in Chromium, over each transport that it has there: from pages of ours, and of another site."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

import ksnap.server.sockjs
from tests.browser.expected import all_scenarios, echoed
from tests.parties.chromium import connected, new_page
from tests.parties.tcp_gate import tcp_gate
from tests.sockjs.client import Server, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

# xdr-streaming and xdr-polling are for the Internet Explorer alone.
TRANSPORTS = [
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
]
# sockjs-client offers it at home only.
FROM_ELSEWHERE = [each for each in TRANSPORTS if each != "htmlfile"]
ASSETS = Path(ksnap.server.sockjs.__file__).parent / "assets"


class Client:
    """A page with sockjs-client."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))

    async def run(self, scenario: str, path: str, *arguments: str) -> Any:
        script = "([name, ...rest]) => scenarios[name](SockJS, ...rest)"
        return await self.page.evaluate(script, [scenario, f"{self.url}{path}", *arguments])

    async def open(self, path: str, transport: str, word: str) -> None:
        """A connection that says one word, and stays."""
        script = """async ([url, transport, word]) => {
            window.connection = await opened(SockJS, url, transport);
            connection.sock.send(word);
        }"""
        await self.page.evaluate(script, [f"{self.url}{path}", transport, word])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with connected(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with new_page(browser) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def at_home(page: Page, sockjs_url: str) -> Client:
    await page.goto(f"{sockjs_url}/pages/client.html")
    return Client(page, sockjs_url)


@pytest_asyncio.fixture(loop_scope="module")
async def elsewhere(page: Page, sockjs_url: str) -> Client:
    """The same server by another name is another site."""
    await page.goto(f"{sockjs_url.replace('127.0.0.1', 'localhost')}/pages/client.html")
    return Client(page, sockjs_url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(sockjs_url: str) -> AsyncIterator[Server]:
    async with aiohttp.ClientSession(sockjs_url) as session:
        yield Server(session)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_that_a_client_does(at_home: Client, server: Server, transport: str) -> None:
    """The first against a service for pages of our own alone."""
    assert await at_home.run("all", "", "/strict", transport) == all_scenarios(transport)
    # A page that goes ends its session.
    word = f"page {transport}"
    await at_home.open("/watched", transport, word)
    await eventually(lambda: server.has_heard(word))
    await at_home.page.close()
    await eventually(lambda: server.heard(word, "closed 1002 Connection interrupted"))
    assert [each for each in at_home.complaints if "document.domain" not in each] == []


@pytest.mark.parametrize("transport", FROM_ELSEWHERE)
async def test_from_another_site(elsewhere: Client, transport: str) -> None:
    assert await elsewhere.run("echo", "/echo", transport) == echoed(transport)
    # One that is not named is refused.
    assert await elsewhere.run("untilClosed", "/strict", transport) == {
        "events": ["close"],
        "code": 1002,
        "reason": "Cannot connect to server",
    }


@pytest.mark.parametrize("transport", [each for each in TRANSPORTS if not each.startswith("iframe-")])
async def test_a_connection_that_drops_is_closed_and_the_next_one_works(
    page: Page, server: Server, sockjs_url: str, transport: str
) -> None:
    word = f"dropped {transport}"
    async with tcp_gate("127.0.0.1", int(sockjs_url.rpartition(":")[2])) as gate:
        client = Client(page, f"http://{gate.host}")
        await page.goto(f"{client.url}/pages/client.html")
        await client.open("/watched", transport, word)
        await eventually(lambda: server.has_heard(word))
        await gate.shut()
        await eventually(lambda: server.heard(word, "closed 1002 Connection interrupted"))
        # Some close at once, some try again and are told then; a frame (htmlfile) is not told that its page broke off.
        await gate.open()
        await page.evaluate("connection.sock.send('are you there?')")
        assert (await page.evaluate("connection.next()"))["type"] == "close"
        assert await client.run("echo", "/echo", transport) == echoed(transport)


async def test_a_client_that_comes_back_too_late_hears_that_its_session_is_lost(
    at_home: Client, server: Server
) -> None:
    polls = 0

    async def hold_the_second(route: Route) -> None:
        nonlocal polls
        polls += 1
        if polls == 2:

            async def is_forgotten() -> bool:
                return await server.open_sessions("brief") == 0

            await eventually(is_forgotten)
        await route.continue_()

    await at_home.page.route(re.compile(r"/xhr(\?|$)"), hold_the_second)
    assert await at_home.run("untilClosed", "/brief", "xhr-polling") == {
        "events": ["open", "close"],
        "code": 1006,
        "reason": "Server lost session",
    }
    assert polls >= 2


async def test_the_library_that_we_serve_is_the_packages(npm_packages: Path) -> None:
    """Whoever raises the one raises the other: a page and its iframe must have the same version."""
    package = npm_packages / "sockjs-client"
    assert (ASSETS / "sockjs.min.js").read_bytes() == (package / "dist" / "sockjs.min.js").read_bytes()
    assert (ASSETS / "sockjs.min.js.LICENSE").read_bytes() == (package / "LICENSE").read_bytes()
