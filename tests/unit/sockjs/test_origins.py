"""Whose pages may speak to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.sockjs.origins import cors_headers, may_speak

HOST = {"host": "ksnap.example:8443"}
HOME = "https://ksnap.example:8443"
NAMED = ("https://named.example",)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": HOME},
        {"origin": "http://ksnap.example:8443"},
        {"origin": NAMED[0]},
        {"origin": NAMED[0], "sec-fetch-site": "cross-site"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site", "referer": f"{NAMED[0]}/a?b"},
        {"sec-fetch-site": "same-site", "referer": f"{HOME}/"},
    ],
)
def test_these_may(headers: dict[str, str]) -> None:
    assert may_speak({**HOST, **headers}, NAMED)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://ksnap.example"},
        {"origin": "https://ksnap.example:8443.evil"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://["},
        {"origin": "ksnap.example:8443"},
        {"origin": "https://stranger.example", "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "referer": "https://other.ksnap.example/"},
        {"sec-fetch-site": "cross-site", "referer": "about:blank"},
    ],
)
def test_these_may_not(headers: dict[str, str]) -> None:
    assert not may_speak({**HOST, **headers}, NAMED)
    assert may_speak({**HOST, **headers}, ("*",))


def test_without_a_host_there_is_no_home() -> None:
    assert not may_speak({"origin": "null"}, ())
    assert not may_speak({"origin": HOME}, ())


@given(st.text(), st.text(), st.text())
def test_nothing_that_a_stranger_writes_crashes(origin: str, referrer: str, host: str) -> None:
    headers = {"origin": origin, "referer": referrer, "host": host, "sec-fetch-site": "cross-site"}
    may_speak(headers, NAMED)
    del headers["origin"]
    may_speak(headers, NAMED)


def test_cors_for_everybody() -> None:
    assert dict(cors_headers({}, ("*",))) == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Credentials": "true",
    }
    assert dict(cors_headers({"origin": "null"}, ("*",)))["Access-Control-Allow-Origin"] == "null"


def test_cors_for_those_who_ask() -> None:
    assert cors_headers({}, NAMED) == []
    asked = cors_headers({"origin": NAMED[0], "access-control-request-headers": "a, b"}, NAMED)
    assert dict(asked) == {
        "Access-Control-Allow-Origin": NAMED[0],
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
        "Access-Control-Allow-Headers": "a, b",
    }
