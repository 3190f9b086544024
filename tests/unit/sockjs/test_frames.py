"""Frames and messages: nothing is lost on the way through JSON, and nothing fragile is on it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.sockjs.frames import (
    BrokenEncoding,
    Closed,
    Heartbeat,
    Messages,
    Opened,
    PayloadExpected,
    messages_of,
    quoted,
    size_bytes,
)

# Strings of JavaScript: halves of surrogate pairs, too.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
FRAGILE = re.compile("[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")


def test_frames_as_the_protocol_writes_them() -> None:
    assert Opened().text() == "o"
    assert Heartbeat().text() == "h"
    assert Messages(("a", 'b"\n')).text() == 'a["a","b\\"\\n"]'
    assert Closed(3000, "Go away!").text() == 'c[3000,"Go away!"]'


@given(ANY_TEXT)
def test_a_quoted_text_is_itself_again_and_fits_into_utf_8(text: str) -> None:
    encoded = quoted(text)
    assert json.loads(encoded) == _as_javascript_sees_it(text)
    assert not FRAGILE.search(encoded)
    encoded.encode()


@given(st.lists(ANY_TEXT))
def test_messages_come_out_as_they_went_in(messages: list[str]) -> None:
    assert messages_of(json.dumps(messages)) == [_as_javascript_sees_it(each) for each in messages]


def _as_javascript_sees_it(text: str) -> str:
    """Two halves beside each other are one character, where JSON is read."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_one_string_is_a_message_only_where_it_may_be() -> None:
    assert messages_of('"a"', may_be_one=True) == ["a"]
    with pytest.raises(BrokenEncoding):
        messages_of('"a"')


@pytest.mark.parametrize("payload", ['["a', "{}", "[1]", "[null]", "7", '[["a"]]', b'["\xff"]', "[" * 100_000, "nul"])
def test_what_is_no_list_of_strings_is_refused(payload: str | bytes) -> None:
    with pytest.raises(BrokenEncoding):
        messages_of(payload)


@given(st.binary() | st.text())
def test_anything_else_is_refused_and_never_crashes(payload: bytes | str) -> None:
    try:
        messages = messages_of(payload)
    except (BrokenEncoding, PayloadExpected):
        return
    assert all(isinstance(each, str) for each in messages)


@pytest.mark.parametrize(
    ("text", "weight"), [("", 0), ("abc", 3), ("ä", 2), ("€", 3), ("\U0001f600", 4), ("\ud83d", 3)]
)
def test_size(text: str, weight: int) -> None:
    assert size_bytes(text) == weight
