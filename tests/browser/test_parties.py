"""What the other tests here take for granted of Chromium, Node and the packages."""

import json
import os
import subprocess
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.parties.chromium import NPM_PROJECT


async def test_a_page_runs_scripts(page: Page) -> None:
    await page.set_content("<button onclick='this.textContent = 6 * 7'>?</button>")
    await page.click("button")
    assert await page.text_content("button") == "42"


async def test_tests_share_a_browser_and_no_profile(browser: Browser, page: Page) -> None:
    await page.route(
        "http://localhost/", lambda route: route.fulfill(body="<title>x</title>", content_type="text/html")
    )
    await page.goto("http://localhost/")
    await page.evaluate("document.cookie = 'a=1'")
    other = await browser.new_context()
    assert await other.cookies() == []
    assert [each["name"] for each in await page.context.cookies() if "name" in each] == ["a"]
    await other.close()


async def test_chromium_knows_this_machine_alone(page: Page) -> None:
    answer = await page.evaluate("fetch('http://example.com/').then(() => 'reached', error => String(error))")
    assert "Failed to fetch" in answer


def test_the_packages_are_those_of_the_lock(npm_packages: Path) -> None:
    wanted = json.loads((NPM_PROJECT / "package.json").read_text())["dependencies"]
    assert wanted
    for name, version in wanted.items():
        assert json.loads((npm_packages / name / "package.json").read_text())["version"] == version


def test_node_finds_the_packages(npm_packages: Path) -> None:
    script = "console.log(typeof require('sockjs-client'))"
    environment = {**os.environ, "NODE_PATH": str(npm_packages)}
    done = subprocess.run(
        ["node", "-e", script], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "function"


def test_the_lock_names_no_address_of_a_registry() -> None:
    lock = json.loads((NPM_PROJECT / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
