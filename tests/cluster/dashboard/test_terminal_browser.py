"""xterm.js in Chromium, over sockjs-client, in real pods: what a page with a terminal needs (issue 5, "done when")."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account
from tests.cluster.dashboard.terminal import RULES, gone, idle_pod, once_it_is, opened, resident_bytes
from tests.parties.chromium import browser, chromium, npm_packages, page
from tests.parties.server import RunningServer

__all__ = ["browser", "chromium", "npm_packages", "page"]

SCRIPT = Path(__file__).with_name("terminal.js")
SCRIPTS = ("sockjs-client/dist/sockjs.min.js", "@xterm/xterm/lib/xterm.js")
STYLE = "@xterm/xterm/css/xterm.css"
SLEEP = ("sleep", "100000")
MIB = 1 << 20
FLOOD = 100_000_000


@pytest.fixture(scope="module")
def token(cluster: ClusterInfo, kubectl: Kubectl, module_namespace: str) -> Iterator[str]:
    pods = {"debian": "debian-python", "busybox": "counter"}
    kubectl.apply(*(idle_pod(cluster, module_namespace, name, image, SLEEP) for name, image in pods.items()))
    kubectl.wait_ready(module_namespace, *pods)
    with account(kubectl, module_namespace, rules=RULES) as token:
        yield token


class Screen:
    """A page with a terminal, as a person has it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def types(self, text: str) -> None:
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    async def shows(self, text: str) -> None:
        await self.page.wait_for_function("text => state.shown.includes(text)", arg=text)

    async def displays(self, text: str) -> None:
        """After the terminal has interpreted it."""
        await self.page.wait_for_function("text => screenText().includes(text)", arg=text)

    async def ends(self) -> list[object]:
        await self.page.wait_for_function("() => state.closed")
        return list(await self.page.evaluate("state.closed"))


class Screens:
    """Opens them, on a page of the server's own origin."""

    def __init__(self, page: Page, packages: Path, caller: Dashboard, namespace: str) -> None:
        self.page, self.packages, self.caller, self.namespace = page, packages, caller, namespace

    async def open(self, pod: str, first: str = "", *, transport: str = "websocket") -> Screen:
        """With one shell, or the first that there is."""
        # A page of the server's own, from its own address: others Chromium keeps off a loopback's WebSockets.
        await self.page.goto(f"{self.caller.url}/health/live")
        await self.page.set_content("<!doctype html><title>A terminal</title>")
        await self.page.add_style_tag(path=self.packages / STYLE)
        for script in (*(self.packages / each for each in SCRIPTS), SCRIPT):
            await self.page.add_script_tag(path=script)
        session_id = await opened(self.caller, self.namespace, pod, first)
        await self.page.evaluate("([id, transport]) => connect(id, transport)", [session_id, transport])
        await self.page.wait_for_function("() => state.connected || state.closed")
        return Screen(self.page)


@pytest.fixture
def screens(page: Page, npm_packages: Path, dashboard: Dashboard, token: str, module_namespace: str) -> Screens:
    return Screens(page, npm_packages, dashboard.as_token(token), module_namespace)


@pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "xhr-polling"])
async def test_bash(screens: Screens, transport: str) -> None:
    screen = await screens.open("debian", "bash", transport=transport)
    await screen.types(f"{once_it_is('24 80')}; echo $((6*7))")
    await screen.displays("\n42\n")
    await screen.page.evaluate("terminal.resize(132, 43)")
    await screen.types(f"{once_it_is('43 132')}; echo $((7*7))")
    await screen.displays("\n49\n")
    await screen.types("exit 3")
    assert await screen.ends() == [1, "Process exited"]


async def test_a_container_with_sh_alone(screens: Screens) -> None:
    screen = await screens.open("busybox")
    await screen.types("expr 1000 + 234")
    await screen.displays("\n1234\n")
    assert (await screen.page.evaluate("state.toasts"))[0].startswith("bash could not be started")
    await screen.types("exit")
    assert await screen.ends() == [1, "Process exited"]


async def test_a_shell_that_is_missing(screens: Screens) -> None:
    screen = await screens.open("busybox", "bash")
    code, reason = await screen.ends()
    assert code == 2
    assert "bash" in str(reason)


async def test_characters_split_over_frames(screens: Screens) -> None:
    screen = await screens.open("debian")
    pieces = (r"<\xe2", r"\x82", r"\xac>\xf0\x9f", r"\x90\x8d>")
    await screen.types("; sleep 0.2; ".join(f"printf '{each}'" for each in pieces) + "; echo")
    await screen.displays("\n<€>🐍>")
    await screen.types("echo re''ady; cat")
    await screen.shows("ready")
    await screen.types("grüße 漢字")
    await screen.displays("\ngrüße 漢字\ngrüße 漢字\n")


async def test_a_paste_of_a_megabyte(screens: Screens) -> None:
    screen = await screens.open("debian")
    pasted = "".join(f"{number:07}äß\n" for number in range(84_000))
    arrives = pasted.replace("\n", "\r").encode()  # as a terminal pastes
    await screen.types(f"stty raw -echo; echo re''ady; head -c {len(arrives)} | sha256sum; stty sane")
    await screen.shows("ready")
    await screen.page.evaluate("text => terminal.paste(text)", pasted)
    await screen.shows(hashlib.sha256(arrives).hexdigest())


@pytest.mark.thorough
async def test_a_flood_for_a_slow_page(screens: Screens, dashboard_server: RunningServer) -> None:
    """The server waits for it, and holds little meanwhile."""
    screen = await screens.open("debian")
    await screen.types("echo $((6*7))")
    await screen.shows("42")
    before, most = resident_bytes(dashboard_server), 0
    await screen.page.evaluate("state.slowMs = 5; terminal.write = () => {}")
    await screen.types(f"yes {'x' * 99} | head -c {FLOOD}; echo fl''ooded")
    while "flooded" not in await screen.page.evaluate("state.shown"):
        most = max(most, resident_bytes(dashboard_server))
        await screen.page.wait_for_timeout(100)
    assert await screen.page.evaluate("state.bytes") > FLOOD
    assert most - before < 16 * MIB


async def test_a_closed_tab_ends_what_runs(screens: Screens, kubectl: Kubectl, module_namespace: str) -> None:
    screen = await screens.open("debian")
    await screen.types("echo st''arted; sleep 4714")
    await screen.shows("started")
    await screen.page.close()
    await gone(kubectl, module_namespace, "debian", "sleep 4714", within_s=15)
