"""Waits between two tries."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.model.backoff import Backoff, retry_after_s

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def test_waits_grow_and_are_bounded() -> None:
    backoff = Backoff(first_s=1, longest_s=5)
    assert [backoff.wait_s(attempt, chance=1.0) for attempt in (1, 2, 3, 4, 50)] == [1, 2, 4, 5, 5]
    assert backoff.wait_s(1, chance=0.0) == 0.5


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(allow_nan=False) | st.none())
def test_waits_are_never_negative_or_long(attempt: int, chance: float, asked: float | None) -> None:
    assert 0 <= Backoff().wait_s(attempt, chance=chance, retry_after_s=asked) <= Backoff().longest_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3), (" 7 ", 7), ("Sun, 22 Nov 2026 10:00:10 GMT", 10), ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
     ("soon", None), ("", None), ("-1", None), ("9" * 30, None)],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now=NOW) == seconds
