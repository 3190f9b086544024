"""Budgets by the clock hour; the contract's sample: a reset of 1642233600 is exactly 2022-01-15T08:00:00Z."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksnap.identity.limits import Budget, Limits, MemoryCounters, OverLimit, network_of, window_end
from ksnap.identity.principal import Principal, Role
from ksnap.settings import ServerSettings

NOW = datetime(2022, 1, 15, 7, 30, tzinfo=UTC)
BUDGET = Budget("user:ann", 3)


@pytest.fixture
def limits() -> Limits:
    return Limits(MemoryCounters(), ServerSettings(data_dir=Path("unused")))


def test_the_window_ends_at_the_full_hour() -> None:
    assert window_end(NOW).timestamp() == 1642233600
    assert window_end(datetime(2022, 1, 15, 8, 0, tzinfo=UTC)).hour == 9


@given(st.integers(min_value=0, max_value=4102444800).map(lambda at: datetime.fromtimestamp(at, UTC)))
def test_a_window_always_ends_within_an_hour(now: datetime) -> None:
    assert timedelta(0) < window_end(now) - now <= timedelta(hours=1)
    assert int(window_end(now).timestamp()) % 3600 == 0


async def test_requests_count_down_and_then_are_refused(limits: Limits) -> None:
    remaining = [(await limits.count(BUDGET, NOW)).remaining for _ in range(3)]
    assert remaining == [2, 1, 0]
    with pytest.raises(OverLimit) as caught:
        await limits.count(BUDGET, NOW)
    assert caught.value.standing.headers() == {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1642233600",
    }
    assert caught.value.retry_after_s == 1800


async def test_the_next_hour_begins_anew(limits: Limits) -> None:
    for _ in range(3):
        await limits.count(BUDGET, NOW)
    assert (await limits.count(BUDGET, NOW + timedelta(minutes=30))).remaining == 2


async def test_peeking_counts_nothing(limits: Limits) -> None:
    assert (await limits.peek(BUDGET, NOW)).remaining == 3
    await limits.count(BUDGET, NOW)
    assert (await limits.peek(BUDGET, NOW)).remaining == 2
    await limits.check(BUDGET, NOW)
    for _ in range(2):
        await limits.count(BUDGET, NOW)
    with pytest.raises(OverLimit):
        await limits.check(BUDGET, NOW)


def test_users_agents_and_addresses_have_the_contracts_budgets(limits: Limits) -> None:
    assert limits.of_principal(Principal("ann", Role.VIEWER)) == Budget("user:ann", 1000)
    assert limits.of_principal(Principal("agent:prod/n1", Role.AGENT)) == Budget("agent:prod/n1", 600)
    assert limits.of_address("192.0.2.1") == Budget("address:192.0.2.1", 100)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("unknown", "unknown"),
    ],
)
def test_one_subscriber_is_one_client(address: str, network: str) -> None:
    assert network_of(address) == network
