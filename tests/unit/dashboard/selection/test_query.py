"""The query of lists: what is understood, what is refused, and in which words."""

import pytest

from ksnap.dashboard.selection.properties import common, text
from ksnap.dashboard.selection.query import METRICS, Selection, parse
from ksnap.errors import InvalidInput
from ksnap.kube.watch.records import Record

PROPERTIES = {each.name: each for each in (*common(namespaced=True), text("status", lambda _: ""))}


def of(*query: tuple[str, str]) -> Selection[Record]:
    return parse(query, PROPERTIES)


def filters_of(*values: str) -> list[tuple[str, str]]:
    return [(each.property.name, each.wanted) for each in of(*(("filterBy", value) for value in values)).filters]


def test_nothing_is_everything() -> None:
    assert of() == Selection()
    assert of(("other", "x"), ("filterBy", ""), ("sortBy", "")) == Selection()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("name,web", [("name", "web")]),
        ("name,web,status,Run", [("name", "web"), ("status", "Run")]),
        ("name,", [("name", "")]),
        ("name,a,b", [("name", "a,b")]),
        ("name,a,status,b,c", [("name", "a"), ("status", "b,c")]),
        ("creationTimestamp,2026-03-05T11:00:00+01:00", [("creationTimestamp", "2026-03-05T10:00:00Z")]),
        ("creationTimestamp,2026-03-05T10:00:00.7Z", [("creationTimestamp", "2026-03-05T10:00:00Z")]),
    ],
)
def test_filters(given: str, expected: list[tuple[str, str]]) -> None:
    assert filters_of(given) == expected


def test_repeated_filters_all_count() -> None:
    assert filters_of("name,a", "namespace,b") == [("name", "a"), ("namespace", "b")]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (("filterBy", "name"), "no value"),
        (("filterBy", "color,red"), "name, namespace, creationTimestamp, status"),
        (("filterBy", "creationTimestamp,x"), "2026-03-05T10:00:00Z"),
        (("sortBy", "name"), "sortBy=d,creationTimestamp"),
        (("sortBy", "a,name,d"), "sortBy"),
        (("sortBy", "x,name"), "sortBy"),
        (("itemsPerPage", "ten"), "whole number from 0"),
        (("itemsPerPage", "-1"), "whole number from 0"),
        (("itemsPerPage", "1.5"), "whole number from 0"),
        (("itemsPerPage", "9" * 5000), "whole number"),
        (("page", "0"), "whole number from 1"),
        (("page", "-3"), "whole number from 1"),
        (("page", "\u0661"), "whole number from 1"),
        (("metricNames", "cpu"), "cpu/usage_rate, memory/usage"),
        (("aggregations", "median"), "sum, max, min"),
    ],
)
def test_what_is_not_understood(query: tuple[str, str], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        of(query)
    assert said in f"{refused.value.message} {refused.value.explanation}"


def test_an_unknown_sort_is_ignored_with_a_warning() -> None:
    selection = of(("sortBy", "d,color,a,name"))
    assert [(each.property.name, each.descending) for each in selection.sorts] == [("name", False)]
    assert len(selection.warnings) == 1
    assert "'color'" in selection.warnings[0]


@pytest.mark.parametrize(
    ("per_page", "page", "total", "expected"),
    [
        ("10", "1", 25, (0, 10)),
        ("10", "3", 25, (20, 25)),
        ("10", "4", 25, (25, 25)),
        ("0", "1", 25, (0, 0)),
        ("9223372036854775807", "3", 25, (25, 25)),
        ("10", str(2**64), 25, (25, 25)),
    ],
)
def test_pages(per_page: str, page: str, total: int, expected: tuple[int, int]) -> None:
    assert of(("itemsPerPage", per_page), ("page", page)).slice(total) == expected


def test_without_one_of_the_two_there_are_no_pages() -> None:
    assert of(("itemsPerPage", "5")).slice(25) == (0, 25)
    assert of(("page", "2")).slice(25) == (0, 25)


def test_metrics() -> None:
    assert (of().metric_names, of().aggregations) == (METRICS, ("sum",))
    selection = of(("metricNames", "memory/usage"), ("aggregations", "max,min"))
    assert (selection.metric_names, selection.aggregations) == (("memory/usage",), ("max", "min"))
