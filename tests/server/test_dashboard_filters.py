"""Around each request on the dashboard's paths: a true duration, a counted refusal, a log that tells no secret."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.dashboard.client import Dashboard, configure, open_dashboard
from tests.parties.server import RunningServer, running_server

Labels = dict[str, str]


async def figure(page: Dashboard, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    text = (await page.below("").get("/metrics")).text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    # The parser calls every counter NAME_total, whatever stands in the text.
    mine = [each for each in samples if each.name.removesuffix("_total") == name]
    return sum(each.value for each in mine if labels.items() <= each.labels.items())


@pytest.fixture
async def page(server: RunningServer) -> AsyncIterator[Dashboard]:
    async with open_dashboard(server.url, server.token) as client:
        yield client


async def test_a_slow_answer_counts_as_long_as_it_takes(page: Dashboard, server: RunningServer) -> None:
    """Contract, check 1. The API server is a port that says nothing, for the second that the cluster is given."""

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    configure(server, "mute", api_server_url=f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}", token="t")
    assert (await page.below("").call("PUT", "/config/clusters/update", {"name": "mute", "timeout_s": 1})).status == 200
    before = await figure(page, "apiserver_request_latencies_sum", verb="GET", resource="me")
    answer = await page.below("/clusters/mute/api/v1").get("/me")
    assert answer.status == 504
    name = "apiserver_request_latencies_sum"
    for metric, unit in ((name, 1e6), ("dashboard_http_request_duration_seconds_sum", 1.0)):
        grown = await figure(page, metric, verb="GET", resource="me")
        assert grown - (before if unit == 1e6 else 0) >= 0.9 * unit, metric
    for each in writers:
        each.transport.abort()
    listener.close()
    await page.below("").call("DELETE", "/config/clusters/delete", {"name": "mute"})


async def test_refusals_and_unknown_paths_are_counted(page: Dashboard) -> None:
    headers = {"X-CSRF-TOKEN": "wrong", "User-Agent": "filter-test/1.0 (x)"}
    answer = await page.call("POST", "/namespace", {"name": "x"}, headers=headers)
    assert (answer.status, answer.text) == (401, "MSG_CSRF_VALIDATION_ERROR")
    count = "apiserver_request_count"
    labels = {"verb": "POST", "resource": "namespace", "client": "filter-test", "code": "401"}
    assert await figure(page, count, **labels) == 1
    await page.call("GET", "/no/such/path", headers={"User-Agent": "filter-test"})
    await page.call("DELETE", "/me", headers={"User-Agent": "filter-test"})
    for verb, code in (("GET", "404"), ("DELETE", "405")):
        assert await figure(page, count, verb=verb, resource="unknown", client="filter-test", code=code) == 1
    assert await figure(page, count, resource="metrics") == 0


async def test_csrf_tokens_of_others_and_of_yesterday(page: Dashboard) -> None:
    """Contract, check 10, without a cluster: what passes it is refused for that."""
    good, wrong = (await page.ok("/csrftoken/namespace"))["token"], (await page.ok("/csrftoken/secret"))["token"]
    mac, _, made_ms = good.partition(":")
    old = f"{mac}:{int(made_ms) - 25 * 3600 * 1000}"
    for token, status in (("", 401), (wrong, 401), (old, 401), (good, 404)):
        answer = await page.call("POST", "/namespace", {"name": "x"}, headers={"X-CSRF-TOKEN": token})
        assert answer.status == status, token
    body = {"reference": "nginx"}
    assert (await page.call("POST", "/appdeployment/validate/imagereference", body, headers={"X-CSRF-TOKEN": ""})).body


@pytest.mark.parametrize(("level", "shown"), [("INFO", False), ("DEBUG", True)])
async def test_a_token_is_logged_at_debug_alone(tmp_path: Path, level: str, *, shown: bool) -> None:
    """Contract, check 11."""
    async with _logging(tmp_path, level) as (page, server):
        answer = await page.call("POST", "/login?x=1", {"token": "secret-4711"})
        assert answer.status == 404  # there is no cluster that could know the token
        assert (await page.get("/csrftoken/login")).status == 200
        lines = [line for line in server.log if "dashboard_request" in line]
    assert any("/api/v1/login?x=1" in line for line in lines)
    assert ("secret-4711" in "".join(server.log)) is shown
    assert all('"client": "203.0.113.7"' in line for line in lines)
    assert ("{ content hidden }" in "".join(lines)) is not shown


async def test_by_default_no_body_is_logged(page: Dashboard, server: RunningServer) -> None:
    await page.call("POST", "/login", {"token": "secret-4711"})
    assert not any("dashboard_request" in line or "secret-4711" in line for line in server.log)


@asynccontextmanager
async def _logging(folder: Path, level: str) -> AsyncIterator[tuple[Dashboard, RunningServer]]:
    """A server that logs, behind a proxy that tells the client's address."""
    settings = {"KSNAP_DASHBOARD_LOG_LEVEL": level, "KSNAP_TRUSTED_PROXIES": "127.0.0.0/8"}
    with running_server(folder / "data", settings) as server:
        async with open_dashboard(server.url, "") as page:
            page.session.headers["X-Forwarded-For"] = "203.0.113.7, 198.51.100.1"
            yield page, server
