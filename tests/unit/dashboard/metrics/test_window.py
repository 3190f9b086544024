"""The hour of many things: sums, extremes, what was there when, and what is forgotten."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.metrics.window import LOOKS, Metric, Moment, Window
from ksnap.model.usage import Amounts, Name

A, B = ("default", "a"), ("default", "b")
NOON = 1_709_640_000


def _window(*looks: Mapping[Name, Amounts]) -> Window:
    window = Window()
    for number, amounts in enumerate(looks):
        window = window.after(NOON + 60 * number, amounts)
    return window


def _values(points: list[tuple[Moment, int]]) -> list[int]:
    return [value for _, value in points]


def test_sums_are_of_those_that_were_there() -> None:
    window = _window({A: (100, 1 << 30)}, {A: (200, 2 << 30), B: (5, 7)}, {B: (6, 8)})
    both = window.find((A, B, ("default", "unknown")))
    assert _values(window.sums(both, "cpu")) == [100, 205, 6]
    assert _values(window.sums(both, "memory")) == [1 << 30, (2 << 30) + 7, 8]
    assert _values(window.sums(window.find((A,)), "cpu")) == [100, 200]
    assert _values(window.sums(window.find((B,)), "cpu")) == [5, 6]
    assert (window.latest(A), window.latest(B)) == (None, (6, 8))


def test_points_are_in_the_order_of_time() -> None:
    window = _window({A: (1, 1)}, {A: (2, 2)})
    assert [(moment.at, moment.text) for moment, _ in window.sums(window.find((A,)), "cpu")] == [
        (NOON, "2024-03-05T12:00:00Z"),
        (NOON + 60, "2024-03-05T12:01:00Z"),
    ]


def test_an_hour_is_kept_and_no_more() -> None:
    window = _window(*({A: (number, number)} for number in range(LOOKS + 5)), {B: (1, 1)})
    points = window.sums(window.find((A,)), "cpu")
    assert (_values(points)[0], _values(points)[-1], len(points)) == (6, LOOKS + 4, LOOKS - 1)
    for number in range(LOOKS):
        window = window.after(NOON + 60 * (LOOKS + 6 + number), {B: (1, 1)})
    assert (window.find((A,)), len(window)) == ([], 1)


def test_a_pause_of_hours_leaves_nothing_of_before() -> None:
    window = _window({A: (1, 1)}).after(NOON + 7200, {A: (2, 2)})
    assert _values(window.sums(window.find((A,)), "cpu")) == [2]


def test_nothing_has_no_points() -> None:
    empty = Window()
    assert empty.sums(empty.find((A,)), "cpu") == []
    window = _window({})
    assert (window.sums([], "cpu"), window.largest([], "cpu"), window.smallest([], "cpu")) == ([], [], [])


looks = st.lists(
    st.dictionaries(
        st.sampled_from([("n", "a"), ("n", "b"), ("m", "a"), ("", "node")]),
        st.tuples(st.integers(0, 1 << 31), st.integers(0, 1 << 45)),
    ),
    max_size=LOOKS,
)


@given(looks)
def test_as_with_plain_lists(taken: list[dict[Name, Amounts]]) -> None:
    """The lanes never run into each other, and what was absent is in no minimum."""
    window = _window(*taken)
    names = [("n", "a"), ("n", "b"), ("m", "a"), ("", "node")]
    found = window.find(names)
    metrics: tuple[Metric, Metric] = ("cpu", "memory")
    for number, metric in enumerate(metrics):
        columns = [[each[name][number] for name in names if name in each] for each in taken]
        columns = [each for each in columns if each]
        assert _values(window.sums(found, metric)) == [sum(each) for each in columns]
        assert _values(window.largest(found, metric)) == [max(each) for each in columns]
        assert _values(window.smallest(found, metric)) == [min(each) for each in columns]
