"""Expressions, and vectors as readings."""

from ksnap.prometheus.client import Series
from ksnap.prometheus.usage import expressions, parse


def _series(value: str, **labels: str) -> Series:
    return Series(labels, (1709632800.0, value))


def test_vectors_make_a_reading() -> None:
    reading = parse(
        (_series("0.0123", namespace="a", pod="web"), _series("NaN", namespace="a", pod="odd")),
        (_series("1048576", namespace="a", pod="web"), _series("5", namespace="a", pod="odd")),
        (_series("1.5", node="node1", instance="10.0.0.1:10250"), _series("2", instance="node2")),
        (_series("7e9", node="node1", instance="10.0.0.1:10250"), _series("8", instance="node2")),
    )
    assert reading.pods == {("a", "web"): (13, 1 << 20), ("a", "odd"): (0, 5)}
    assert reading.nodes == {("", "node1"): (1500, 7_000_000_000), ("", "node2"): (2000, 8)}


def test_what_has_but_one_half_is_left_out() -> None:
    assert parse((_series("1", pod="young"),), (), (), (_series("1", node="n"),)).pods == {}


def test_matchers_are_in_every_expression() -> None:
    assert all('cluster="a"' in each for each in expressions('cluster="a"'))
    assert not any(",}" in each or "{," in each for each in (*expressions(), *expressions("x=~'y'")))
