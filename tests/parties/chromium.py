"""Debian's Chromium as a party of tests, driven by Playwright, and the npm packages that its pages load.

A `conftest.py` imports the fixtures that its tests want:

    from tests.parties.chromium import browser, chromium, npm_packages, page

`chromium` is one process for all tests; each test speaks to it from its own event loop, and gets a profile of its own
(`browser.new_context()`, or `page`, which has one page in one). It reaches this machine alone.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from dev.npm import packages

NPM_PROJECT = Path(__file__).parents[1] / "browser"
START_LIMIT_S = 60.0
ACTION_LIMIT_MS = 30_000.0
FLAGS = (
    "--headless",
    "--no-sandbox",  # it needs one for root, and namespaces that containers often lack; the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page in the background is not slowed down: a test has several.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    # Whoever is not this machine has no address: neither Chromium's own services nor a page's mistake go out.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


@contextmanager
def running_chromium() -> Iterator[str]:
    """A Chromium with an empty profile; gives the address of its DevTools."""
    # Not pytest's folder for temporary files: Chromium's sockets have paths of at most 107 characters.
    profile = Path(tempfile.mkdtemp(prefix="ksnap-chromium-"))
    log = profile / "stderr"
    try:
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                ["chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            yield _devtools(process, profile / "DevToolsActivePort", log)
        finally:
            _end(process)
    finally:
        shutil.rmtree(profile, ignore_errors=True)  # its helpers write to it until they notice


def _devtools(process: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        lines = port_file.read_text().splitlines() if port_file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.1)
    raise AssertionError("Chromium did not start:\n" + log.read_text(errors="replace"))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and its helpers: they are a process group."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    with running_chromium() as devtools:
        yield devtools


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(chromium)
        yield browser
        await browser.close()  # of this connection alone


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page; what it writes to its console is in the report of a test that fails."""
    context = await browser.new_context()
    context.set_default_timeout(ACTION_LIMIT_MS)
    page = await context.new_page()
    page.on("console", _show)
    page.on("pageerror", lambda error: print(f"page error: {error}"))
    yield page
    await context.close()


def _show(message: ConsoleMessage) -> None:
    print(f"console {message.type}: {message.text}")


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """The folder `node_modules`: what a page loads is served from here, and Node finds its modules by NODE_PATH."""
    return packages(NPM_PROJECT)
