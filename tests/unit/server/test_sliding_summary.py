"""Quantiles of the last hour, at a clock that the test turns."""

import math
import random

import pytest

from ksnap.server.sliding_summary import ACCURACY, QUANTILES, SlidingSummary


def test_quantiles_are_as_exact_as_promised() -> None:
    chance = random.Random(7)
    values = [chance.expovariate(1 / 20_000) for _ in range(10_000)]
    summary = SlidingSummary()
    for each in values:
        summary.observe(each, 0.0)
    values.sort()
    for quantile, found in summary.quantiles(0.0).items():
        assert found == pytest.approx(values[int(quantile * (len(values) - 1))], rel=2 * ACCURACY)


def test_what_is_older_than_the_window_is_forgotten_by_quantiles_alone() -> None:
    summary = SlidingSummary()
    for now, value in ((0.0, 1000.0), (1.0, 1000.0), (2.0, 1000.0), (3000.0, 10.0)):
        summary.observe(value, now)
    assert summary.quantiles(3500.0)[0.5] == pytest.approx(1000.0, rel=ACCURACY)
    assert summary.quantiles(3700.0)[0.5] == pytest.approx(10.0, rel=ACCURACY)
    assert all(math.isnan(each) for each in summary.quantiles(10_000.0).values())
    summary.observe(5.0, 10_000.0)
    assert summary.quantiles(10_000.0) == {each: pytest.approx(5.0, rel=ACCURACY) for each in QUANTILES}
    assert (summary.count, summary.sum) == (5, 3015.0)
