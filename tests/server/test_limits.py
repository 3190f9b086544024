"""The contract's section 9, on servers of their own with small budgets."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.server import RunningServer, running_server
from tests.server.client import Answer, Client, open_client

HOUR = 3600


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {
        "KSNAP_RATE_LIMIT_USER": "5",
        "KSNAP_RATE_LIMIT_ADDRESS": "4",
        "KSNAP_TRUSTED_PROXIES": "127.0.0.0/8,10.1.0.0/16",
    }
    with running_server(tmp_path_factory.mktemp("limits") / "data", settings) as running:
        if HOUR - time.time() % HOUR < 30:
            time.sleep(31)  # the window must not turn in the middle of these tests
        yield running


def budget(answer: Answer) -> tuple[int, int]:
    reset = int(answer.headers["X-RateLimit-Reset"])
    assert reset % HOUR == 0
    assert 0 < reset - time.time() <= HOUR
    return int(answer.headers["X-RateLimit-Limit"]), int(answer.headers["X-RateLimit-Remaining"])


async def from_address(client: Client, address: str, path: str = "/config/user/list") -> Answer:
    return await client.get(path, headers={"X-Forwarded-For": address})


async def test_an_address_has_its_own_budget_and_then_429(limited: RunningServer) -> None:
    async with open_client(limited.url) as client:
        seen = [
            await from_address(client, "192.0.2.1", path) for path in ("/config/user/list", "/none", "/docs", "/none")
        ]
        assert [budget(each) for each in seen] == [(4, 3), (4, 2), (4, 1), (4, 0)]
        over = await from_address(client, "192.0.2.1")
        assert (over.status, over.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert budget(over) == (4, 0)
        assert 0 < int(over.headers["Retry-After"]) <= HOUR
        assert (await from_address(client, "192.0.2.2")).status == 401


async def test_health_is_exempt_and_says_the_standing(limited: RunningServer) -> None:
    async with open_client(limited.url) as client:
        for path in ["/health", "/health/live", "/health/ready"] * 3:
            answer = await from_address(client, "192.0.2.3", path)
            assert answer.status == 200
            assert budget(answer) == (4, 4)


async def test_an_invalid_token_counts_on_the_address(limited: RunningServer) -> None:
    async with open_client(limited.url, "not.a.token") as client:
        answers = [await from_address(client, "192.0.2.4") for _ in range(5)]
    assert [each.status for each in answers] == [401, 401, 401, 401, 429]


async def test_a_user_has_a_budget_wherever_they_are(limited: RunningServer) -> None:
    async with open_client(limited.url, limited.token) as client:
        answers = [await from_address(client, f"192.0.2.{10 + number}") for number in range(6)]
    assert [each.status for each in answers] == [200] * 5 + [429]
    assert [budget(each) for each in answers][:5] == [(5, left) for left in (4, 3, 2, 1, 0)]


async def test_the_budget_is_checked_before_the_body(limited: RunningServer) -> None:
    async with open_client(limited.url) as client:
        for _ in range(4):
            await from_address(client, "192.0.2.5")
        answer = await client.call("POST", "/config/user/login", data=b"{", headers={"X-Forwarded-For": "192.0.2.5"})
        assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")


async def test_only_trusted_proxies_are_believed(limited: RunningServer) -> None:
    """Read from the right: what a client wrote itself stands left of what the first trusted proxy saw."""
    async with open_client(limited.url) as client:
        for number in range(4):
            answer = await from_address(client, f"198.51.100.{number}, 192.0.2.6, 10.1.0.{number}")
            assert budget(answer) == (4, 3 - number)


async def test_an_untrusted_peer_cannot_choose_its_address(tmp_path: Path) -> None:
    with running_server(tmp_path, {"KSNAP_RATE_LIMIT_ADDRESS": "100"}) as server:
        async with open_client(server.url) as client:
            first = budget(await from_address(client, "192.0.2.1"))[1]
            assert budget(await from_address(client, "192.0.2.2"))[1] == first - 1


async def test_addresses_of_one_ipv6_network_share_a_budget(limited: RunningServer) -> None:
    async with open_client(limited.url) as client:
        assert budget(await from_address(client, "2001:db8::1")) == (4, 3)
        assert budget(await from_address(client, "2001:db8::2")) == (4, 2)
        assert budget(await from_address(client, "2001:db8:0:1::2")) == (4, 3)
