"""Addresses below the prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.sockjs.paths import METHODS, Address, Place, parse_path


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", Place.GREETING),
        ("/", Place.GREETING),
        ("/info", Place.INFO),
        ("/iframe.html", Place.IFRAME),
        ("/iframe1.6-a_b.html", Place.IFRAME),
        ("/websocket", Place.RAW_WEBSOCKET),
        ("/sockjs.min.js", Place.LIBRARY),
    ],
)
def test_static(path: str, place: Place) -> None:
    assert parse_path(path) == Address(place)


@pytest.mark.parametrize(
    "name", ["websocket", "xhr", "xhr_send", "xhr_streaming", "eventsource", "htmlfile", "jsonp", "jsonp_send"]
)
def test_of_a_session(name: str) -> None:
    assert parse_path(f"/any server/s 1-_~/{name}") == Address(Place(name), "s 1-_~")


@pytest.mark.parametrize("path", ["/0/0/info", "/0/0/greeting", "/0/0/library", "/0/0/iframe", "/0/0/raw_websocket"])
def test_what_is_static_is_of_no_session(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(
    "path", ["/iframe", "/iframeX.html", "/iframe/.html", "/0/0/", "/0/0/xhr/", "//0/xhr", "/0.1/0/xhr"]
)
def test_nothing_is_there(path: str) -> None:
    assert parse_path(path) is None


@given(st.text("/.a0xhr_info", max_size=20))
def test_any_path_is_an_address_or_none(path: str) -> None:
    address = parse_path(path)
    assert address is None or address.place in METHODS
    assert address is None or not set("/.") & set(address.session)
