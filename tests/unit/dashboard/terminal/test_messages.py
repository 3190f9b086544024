"""The messages of section 9.2, both ways."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.terminal.messages import MESSAGE_LIMIT, BadMessage, Bind, Resize, Stdin, parse, stdout, toast


def test_what_clients_say() -> None:
    assert parse('{"Op":"bind","SessionID":"3f2b"}') == Bind("3f2b")
    assert parse('{"Op":"stdin","Data":"ls\\r","SessionID":"x","Rows":24,"Cols":"ignored"}') == Stdin(b"ls\r")
    assert parse('{"Op":"resize","Rows":24,"Cols":80,"more":1}') == Resize(24, 80)
    assert parse('{"Op":"resize"}') == Resize(0, 0)
    assert parse('{"Op":"stdin","Data":null}') == Stdin(b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"Op":"dance"}',
        '{"op":"stdin","data":"keys are capitalised"}',
        '{"Op":"stdin","Data":1}',
        '{"Op":"bind","SessionID":[]}',
        '{"Op":"resize","Rows":65536,"Cols":1}',
        '{"Op":"resize","Rows":-1,"Cols":1}',
        '{"Op":"resize","Rows":1.5,"Cols":1}',
        '{"Op":"resize","Rows":true,"Cols":1}',
        "[" * 100_000,
        '"' + "x" * MESSAGE_LIMIT + '"',
    ],
)
def test_what_is_no_message(text: str) -> None:
    with pytest.raises(BadMessage) as refused:
        parse(text)
    assert text[:40] not in str(refused.value) or len(text) < 5


def test_halves_of_surrogate_pairs() -> None:
    assert parse(r'{"Op":"stdin","Data":"a\ud83db"}') == Stdin("a\N{REPLACEMENT CHARACTER}b".encode())
    assert parse('{"Op":"stdin","Data":"\ud83d\ude00"}') == Stdin("😀".encode())


@given(st.text())
def test_stdin_is_utf8(text: str) -> None:
    assert parse(json.dumps({"Op": "stdin", "Data": text})) == Stdin(text.encode())


@given(st.text())
def test_a_server_writes_all_five_keys(text: str) -> None:
    for made, operation in ((stdout(text), "stdout"), (toast(text), "toast")):
        said = json.loads(made)
        assert said == {"Op": operation, "Data": text, "SessionID": "", "Rows": 0, "Cols": 0}


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(BadMessage):
        parse(text)
