"""Kubernetes' quantities; the expected values are apimachinery's."""

from decimal import Decimal

import pytest

from ksnap.model.quantity import milli, parse, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("100m", "0.1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("2Ki", "2048"),
        ("1.5Gi", "1610612736"),
        ("3k", "3000"),
        ("1E", "1000000000000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("2e-3", "0.002"),
        ("-1Mi", "-1048576"),
        ("5n", "0.000000005"),
        ("7u", "0.000007"),
    ],
)
def test_numbers(text: str, value: str) -> None:
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 Ki", "1KiB", "1e", "--1", "1e999", "\u0661", "1K"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse(text)
    assert (whole(text), milli(text)) == (0, 0)


def test_rounded_up() -> None:
    assert [whole("1500m"), whole("1n"), milli("1u"), milli("250m"), milli("2")] == [2, 1, 1, 250, 2000]
