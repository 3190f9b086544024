"""Followers together take a part of one core, however many they are."""

from ksnap.dashboard.live.pace import LEAST_S, PART, Pace


def test_all_followers_share_their_part() -> None:
    pace = Pace()
    with pace.one_more():
        assert pace.interval_s(0.001) == LEAST_S
        assert 0.2 / pace.interval_s(0.2) == PART
        with pace.one_more():
            assert 2 * 0.2 / pace.interval_s(0.2) == PART
    assert pace.followers == 0
