"""The server's URL: what is one, and that no name climbs out of its place in a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.cli.server_url import parse_server_url
from ksnap.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "shown", "encrypted", "local"),
    [
        ("http://localhost:8000", "http://localhost:8000", False, True),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", False, True),
        ("https://[::1]:443", "https://[::1]:443", True, True),
        ("https://ksnap.example/snap/", "https://ksnap.example/snap", True, False),
        (" https://KSNAP.example ", "https://ksnap.example", True, False),
        ("http://10.0.0.1", "http://10.0.0.1", False, False),
    ],
)
def test_urls(text: str, shown: str, *, encrypted: bool, local: bool) -> None:
    url = parse_server_url(text)
    assert (str(url), url.encrypted, url.local) == (shown, encrypted, local)


@pytest.mark.parametrize(
    "text", ["", "localhost:8000", "ftp://x", "https://", "https://x:99999", "https://x?y=1", "https://[x", "x#y"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_server_url(text)


def test_a_password_in_it_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_server_url("https://anna:geheim@ksnap.example")
    assert "geheim" not in caught.value.explanation


@given(st.text(min_size=1))
def test_a_name_stays_one_part_of_the_path(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    path = parse_server_url("https://x").at("checkpoint", name).removeprefix("https://x/checkpoint/")
    assert not set(path) & set("/?#\\ \n")
