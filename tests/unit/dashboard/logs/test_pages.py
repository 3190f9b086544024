"""A page out of what was read of a log (dashboard contract, sections 11.1 to 11.3)."""

import msgspec
import pytest

from ksnap.dashboard.logs.pages import FIRST_BYTES, Read, first_part, is_no_log_yet, last_part, page_of
from ksnap.dashboard.logs.selection import BEGINNING, OLDEST, ReferencePoint, Selection, last_lines
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.logs import LogOptions

STAMP = b"2024-03-05T10:00:00Z"


def _body(lines: int) -> bytes:
    return b"".join(b"%s line %d\n" % (STAMP, number) for number in range(lines))


def test_the_shape_of_a_reply() -> None:
    page = page_of(last_part(_body(2), has_lost_front=False), last_lines(1), pod="web", container="app", is_init=False)
    assert msgspec.to_builtins(page) == {
        "info": {
            "podName": "web",
            "containerName": "app",
            "initContainerName": "",
            "fromDate": STAMP.decode(),
            "toDate": STAMP.decode(),
            "truncated": False,
        },
        "selection": {
            "referencePoint": {"timestamp": STAMP.decode(), "lineNum": 2},
            "offsetFrom": 0,
            "offsetTo": 1,
            "logFilePosition": "end",
        },
        "logs": [{"timestamp": STAMP.decode(), "content": "line 1"}],
    }


def test_the_reply_without_lines_is_all_zero() -> None:
    page = page_of(Read([]), last_lines(100), pod="web", container="init", is_init=True)
    assert msgspec.to_builtins(page) == {
        "info": {
            "podName": "web",
            "containerName": "init",
            "initContainerName": "init",
            "fromDate": "",
            "toDate": "",
            "truncated": False,
        },
        "selection": {
            "referencePoint": {"timestamp": "", "lineNum": 0},
            "offsetFrom": 0,
            "offsetTo": 0,
            "logFilePosition": "",
        },
        "logs": [],
    }


def test_truncated_is_the_last_page_of_a_part() -> None:
    part = last_part(_body(5000), has_lost_front=False)
    whole = last_part(_body(4999), has_lost_front=False)
    before_all = Selection(ReferencePoint(OLDEST), -100, 0, "end")
    for read, asked, truncated in (
        (part, before_all, True),
        (part, last_lines(100), False),
        (whole, before_all, False),
    ):
        assert page_of(read, asked, pod="p", container="c", is_init=False).info.truncated is truncated


def test_a_line_that_was_cut_at_the_limit_is_not_a_line() -> None:
    body = _body(20_000)[:FIRST_BYTES]
    read = first_part(body)
    assert read.is_part
    assert all(line.startswith(STAMP) for line in read.lines)
    assert len(read.lines) == body.count(b"\n")
    short = first_part(b"%s no end" % STAMP)
    assert (short.is_part, len(short.lines)) == (False, 1)


def test_the_beginning_reports_truncation_when_reading_on() -> None:
    read = first_part(_body(20_000)[:FIRST_BYTES])
    behind = Selection(ReferencePoint(OLDEST), len(read.lines) - 1, len(read.lines) + 99, BEGINNING)
    assert page_of(read, behind, pod="p", container="c", is_init=False).info.truncated


def test_a_front_that_was_lost_takes_the_cut_line_with_it() -> None:
    read = last_part(b"03-05T10:00:00Z cut\n" + _body(3), has_lost_front=True)
    assert (len(read.lines), read.is_part) == (3, True)


@pytest.mark.parametrize(
    ("status", "message", "yet"),
    [
        (400, 'container "app" in pod "web" is waiting to start: ContainerCreating', True),
        (400, "container none is not valid for pod web", False),
        (500, "waiting to start", False),
    ],
)
def test_what_has_no_log_yet(status: int, message: str, *, yet: bool) -> None:
    assert is_no_log_yet(KubeRefusal(status, {"message": message})) is yet


def test_only_what_is_asked_for_is_in_the_query() -> None:
    assert LogOptions("app").query() == {"container": "app"}
    full = LogOptions("app", previous=True, timestamps=True, tail_lines=0, limit_bytes=9, since_time="t", follow=True)
    assert full.query() == {
        "container": "app",
        "tailLines": "0",
        "limitBytes": "9",
        "sinceTime": "t",
        "previous": "true",
        "timestamps": "true",
        "follow": "true",
    }
