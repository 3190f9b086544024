"""How transports write frames down; the streams as a whole are tested over HTTP, by the protocol's sections."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.sockjs.frames import Closed, Frame, Heartbeat, Messages, Opened
from ksnap.sockjs.paths import Place
from ksnap.sockjs.wire import CALLBACK_LIMIT, CallbackInvalid, CallbackMissing, raw_text, websocket_close, wire_of

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
ANY_FRAME = st.one_of(
    st.builds(Opened),
    st.builds(Heartbeat),
    st.builds(Messages, st.lists(ANY_TEXT, min_size=1).map(tuple)),
    st.builds(Closed, st.integers(0, 5000), ANY_TEXT),
)


@given(ANY_FRAME)
def test_each_wire_gives_the_frame_back(frame: Frame) -> None:
    text = frame.text()
    assert wire_of(Place.XHR, None).encode(frame).decode() == f"{text}\n"
    assert wire_of(Place.XHR_STREAMING, None).encode(frame).decode() == f"{text}\n"
    script = wire_of(Place.HTMLFILE, "c").encode(frame).decode()
    assert json.loads(script.removeprefix("<script>\np(").removesuffix(");\n</script>\r\n")) == text
    call = wire_of(Place.JSONP, "c.d").encode(frame).decode()
    assert json.loads(call.removeprefix("c.d(").removesuffix(");\r\n")) == text
    event = wire_of(Place.EVENTSOURCE, None).encode(frame).decode()
    data = event.removeprefix("data: ").removesuffix("\r\n\r\n")
    assert _meaning(data) == _meaning(text)


def _meaning(frame: str) -> tuple[str, object]:
    return frame[0], json.loads(frame[1:] or "null")


@given(ANY_FRAME)
def test_no_frame_breaks_out_of_its_wire(frame: Frame) -> None:
    event = wire_of(Place.EVENTSOURCE, None).encode(frame).decode()
    assert re.split("\r\n|\r|\n", event) == [event[:-4], "", ""]  # as event streams end lines
    assert "%" not in event
    script = wire_of(Place.HTMLFILE, "c").encode(frame).decode()
    assert script.count("<") == 2
    assert wire_of(Place.XHR, None).encode(frame).count(b"\n") == 1


@pytest.mark.parametrize("place", [Place.HTMLFILE, Place.JSONP])
def test_callbacks_are_names(place: Place) -> None:
    assert wire_of(place, "_jp.aB0").content_type
    for missing in (None, ""):
        with pytest.raises(CallbackMissing):
            wire_of(place, missing)
    for wrong in ("a b", "a(", "a\n", "é", "a-b", "x" * (CALLBACK_LIMIT + 1)):
        with pytest.raises(CallbackInvalid):
            wire_of(place, wrong)


def test_what_receives_nothing_has_no_wire() -> None:
    with pytest.raises(ValueError, match="receives nothing"):
        wire_of(Place.XHR_SEND, None)


@pytest.mark.parametrize(
    ("code", "said"), [(1000, 1000), (3000, 3000), (4999, 4999), (1, 4001), (2010, 4010), (1002, 4002), (5001, 4001)]
)
def test_a_websocket_is_closed_with_a_code_that_may_be_sent(code: int, said: int) -> None:
    assert websocket_close(Closed(code, "why")) == (said, "why")


@given(ANY_TEXT)
def test_its_reason_fits(reason: str) -> None:
    told = websocket_close(Closed(1000, reason))[1]
    assert len(told.encode()) <= 123
    assert raw_text(reason).startswith(told)


@given(ANY_TEXT)
def test_a_raw_message_is_utf_8(message: str) -> None:
    raw_text(message).encode()


def test_half_a_pair_is_replaced_there() -> None:
    assert raw_text("a\ud83db\U0001f600") == "a\ufffdb\U0001f600"
