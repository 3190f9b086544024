"""Chromium and the npm packages for the tests of this folder."""

from tests.parties.chromium import browser, chromium, npm_packages, page

__all__ = ["browser", "chromium", "npm_packages", "page"]
