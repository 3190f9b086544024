"""The query of the log routes (dashboard contract, section 11.1)."""

import pytest

from ksnap.dashboard.logs.query import file_query, page_query
from ksnap.dashboard.logs.selection import ReferencePoint, Selection
from ksnap.errors import InvalidInput


def test_nothing_asked_is_the_last_hundred_lines() -> None:
    query = page_query({})
    assert query.selection == Selection(ReferencePoint("newest"), -99, 1, "end")
    assert (query.previous, query.since_time) == (False, None)


def test_without_offsets_the_other_selection_parameters_do_not_count() -> None:
    given = {"referenceTimestamp": "oldest", "referenceLineNum": "4", "logFilePosition": "beginning"}
    assert page_query(given) == page_query({})


def test_a_window() -> None:
    given = {
        "referenceTimestamp": "2024-03-05T10:00:00Z",
        "referenceLineNum": "-2",
        "offsetFrom": "-10",
        "offsetTo": "+5",
        "logFilePosition": "beginning",
        "tailLines": "7",
    }
    point = ReferencePoint("2024-03-05T10:00:00Z", -2)
    assert page_query(given).selection == Selection(point, -10, 5, "beginning")


@pytest.mark.parametrize("text", ["x", "", "1.5"])
def test_a_line_number_that_is_none_is_zero(text: str) -> None:
    given = {"referenceLineNum": text, "offsetFrom": "0", "offsetTo": "1"}
    assert page_query(given).selection.reference_point == ReferencePoint("newest", 0)


@pytest.mark.parametrize("position", ["", "middle", "END"])
def test_an_unknown_position_is_the_end(position: str) -> None:
    given = {"offsetFrom": "0", "offsetTo": "1", "logFilePosition": position}
    assert page_query(given).selection.log_file_position == "end"


@pytest.mark.parametrize(("lines", "offset_from"), [("1", 0), ("20", -19), ("5000", -4999)])
def test_tail_lines(lines: str, offset_from: int) -> None:
    selection = page_query({"tailLines": lines}).selection
    assert selection == Selection(ReferencePoint("newest"), offset_from, 1, "end")


@pytest.mark.parametrize("word", ["True", "1", "yes", ""])
def test_only_true_is_true(word: str) -> None:
    assert not page_query({"previous": word}).previous
    assert not file_query({"timestamps": word}).timestamps


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"tailLines": "0"}, "from 1 to 5000"),
        ({"tailLines": "5001"}, "from 1 to 5000"),
        ({"tailLines": "many"}, "from 1 to 5000"),
        ({"tailLines": "x", "offsetFrom": "0", "offsetTo": "1"}, "from 1 to 5000"),
        ({"offsetFrom": "0"}, "must both be integers"),
        ({"offsetTo": "0"}, "must both be integers"),
        ({"offsetFrom": "0", "offsetTo": "one"}, "must both be integers"),
        ({"offsetFrom": "0", "offsetTo": "9" * 5000}, "must both be integers"),
        ({"offsetFrom": "\u0661", "offsetTo": "1"}, "must both be integers"),
        ({"sinceTime": "yesterday"}, "RFC 3339"),
    ],
)
def test_what_is_refused_says_what_is_allowed(given: dict[str, str], allowed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        page_query(given)
    assert allowed in refused.value.message
    assert len(refused.value.details) < 120


def test_a_download_has_no_upper_bound() -> None:
    query = file_query({"tailLines": "1000000", "previous": "true", "timestamps": "true"})
    assert (query.tail_lines, query.previous, query.timestamps) == (1_000_000, True, True)
    with pytest.raises(InvalidInput, match="of at least 1"):
        file_query({"tailLines": "0"})
