"""Chromium, the npm packages and a SockJS server for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.chromium import browser, chromium, npm_packages, page
from tests.parties.sockjs_server import running_sockjs_server

__all__ = ["browser", "chromium", "npm_packages", "page", "sockjs_url"]


@pytest.fixture(scope="session")
def sockjs_url(npm_packages: Path) -> Iterator[str]:
    """Serves the packages at /npm and our pages at /pages, too."""
    with running_sockjs_server(npm_packages) as url:
        yield url
