"""Tables, JSON, sizes and ages, and that foreign text cannot drive the terminal."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.cli.screen import Output, Screen, age, aligned, cell, size

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_table_has_columns_that_can_be_counted(capsys: pytest.CaptureFixture[str]) -> None:
    entries: list[dict[str, object]] = [{"id": "a", "node": None, "ok": True}, {"id": "bbb", "node": "n1", "ok": False}]
    Screen(Output.TABLE).rows(entries, {"id": "id", "node": "node", "works": "ok"}, empty="none")
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()] == [
        ["ID", "NODE", "WORKS"],
        ["a", "-", "yes"],
        ["bbb", "n1", "no"],
    ]
    assert not shown.err


def test_json_is_the_entries_as_the_api_gave_them(capsys: pytest.CaptureFixture[str]) -> None:
    entries = [{"id": "a", "more": [1]}]
    Screen(Output.JSON).rows(entries, {"id": "id"}, empty="none", computed=lambda _: {"age": "1m"})
    assert json.loads(capsys.readouterr().out) == entries


def test_an_empty_table_speaks_on_stderr_and_empty_json_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(Output.TABLE).rows([], {"id": "id"}, empty="No checkpoint")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "No checkpoint\n")
    Screen(Output.JSON).rows([], {"id": "id"}, empty="No checkpoint")
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ([], "")


def test_an_act_keeps_stdout_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(Output.TABLE).done({"success": True}, "Done it")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "Done it\n")
    Screen(Output.JSON).done({"success": True}, "Done it")
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ({"success": True}, "")


def test_a_record_has_a_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(Output.TABLE).record({"success": True, "pod_name": "web", "restored": True})
    assert capsys.readouterr().out == "pod name:  web\nrestored:  yes\n"


@given(st.text())
def test_a_cell_is_never_empty_and_has_no_control_characters(text: str) -> None:
    shown = cell(text)
    assert shown
    assert shown.isprintable()


def test_cells() -> None:
    assert [cell(value) for value in (None, "", [], ["a", 1], {"a": 1}, 0)] == ["-", "-", "-", "a, 1", "a 1", "0"]


@given(st.lists(st.lists(st.text(alphabet="ab"), min_size=3, max_size=3), min_size=1))
def test_columns_start_under_each_other(table: list[list[str]]) -> None:
    padded = [[each or "-" for each in row] for row in table]
    lines = aligned(padded, colour=False)
    first = max(len(row[0]) for row in padded)
    assert all(line[first : first + 2] == "  " for line in lines)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (150_000_000, "150 MB"), (4_294_967_296, "4.3 GB"),
        (5e13, "50.0 TB"), (None, "-"),
    ],
)  # fmt: skip
def test_sizes_are_decimal(count: float | None, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=-5), "0s"), (timedelta(seconds=119), "119s"), (timedelta(minutes=5), "5m"),
        (timedelta(hours=3, minutes=59), "3h"), (timedelta(days=12), "12d"),
    ],
)  # fmt: skip
def test_ages(ago: timedelta, shown: str) -> None:
    assert age((NOW - ago).isoformat().replace("+00:00", "Z"), NOW) == shown


def test_no_age_and_a_strange_one() -> None:
    assert (age(None, NOW), age("yesterday", NOW)) == ("-", "yesterday")


def test_a_paragraph_is_for_people_alone_and_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(Output.TABLE).paragraph("add (node1):\n  a: {b: c}\x1b[2J")
    assert capsys.readouterr().out == "\nadd (node1):\n  a: {b: c} [2J\n"
    Screen(Output.JSON).paragraph("add")
    assert capsys.readouterr().out == ""
