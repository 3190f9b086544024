"""SockJS among the other routes: what the layers around all requests do with it, and how the server's stop ends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.parties.server import RunningServer, running_server
from tests.sockjs.client import Service, closed, fresh, said

ALLOWED = "https://pages.example"
STRANGER = "https://stranger.example"
REQUESTS_AN_HOUR = 5
FAREWELL = 'c[5,"Session closed by server"]'
SETTINGS = {
    "KSNAP_ALLOWED_ORIGINS": ALLOWED,
    "KSNAP_RATE_LIMIT_ADDRESS": str(REQUESTS_AN_HOUR),
    "KSNAP_RATE_LIMIT_DASHBOARD": str(REQUESTS_AN_HOUR),
    "KSNAP_LOG_LEVEL": "debug",
    "KSNAP_TRUSTED_PROXIES": "127.0.0.0/8",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("sockjs") / "data"
    with running_server(folder, SETTINGS, module="tests.parties.sockjs_in_ksnap") as running:
        yield running


@pytest.fixture
async def service(server: RunningServer) -> AsyncIterator[Service]:
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(total=50)) as session:
        yield Service(session, "api/sockjs")


async def test_it_has_no_budget_and_takes_none(service: Service) -> None:
    path = await service.opened()
    for _ in range(3 * REQUESTS_AN_HOUR):
        assert (await service.post(f"{path}/xhr_send", '["a"]')).status == 204
    info = await service.get("/info")
    assert info.status == 200
    assert not [name for name in info.headers if name.lower().startswith("x-ratelimit")]
    async with service.session.get("/config/user/list") as other:
        assert other.headers["X-RateLimit-Remaining"] == str(REQUESTS_AN_HOUR - 1)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
async def test_tokens_are_its_applications_business(service: Service, token: str) -> None:
    answer = await service.post(f"{fresh()}/xhr", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status, answer.text) == (200, "o\n")


async def test_answers_carry_what_all_answers_do(service: Service) -> None:
    for answer in (await service.get(""), await service.get("/info"), await service.get("/nothing")):
        assert answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_preflights_are_its_own(service: Service) -> None:
    """The server's allow no credentials, and are not cached."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
    answer = await service.ask("OPTIONS", f"{fresh()}/xhr", headers={"Origin": ALLOWED, **asked})
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-a"
    refused = await service.ask("OPTIONS", f"{fresh()}/xhr", headers={"Origin": STRANGER, **asked})
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_who_opened_a_session_is_who_the_proxy_says(server: RunningServer, service: Service) -> None:
    opening = Service(service.session, "api/sockjs/opening")
    path = fresh()
    headers = {"X-Forwarded-For": "192.0.2.7", "User-Agent": "tester"}
    assert (await opening.post(f"{path}/xhr?q", headers=headers)).text == "o\n"
    assert (await opening.post(f"{path}/xhr", headers=headers)).text == 'a["192.0.2.7 q tester","bye"]\n'


async def test_bodies_have_its_own_limit(service: Service) -> None:
    path = await service.opened()
    answer = await service.post(f"{path}/xhr_send", "x" * ((1 << 20) + 1))
    assert (answer.status, answer.text) == (413, "The body is too large")


async def test_the_log_names_no_session(server: RunningServer, service: Service) -> None:
    """Its id is all that it takes to speak in its name."""
    path = await service.opened()
    async with service.socket(fresh()) as socket:  # which nobody reaches by its id
        assert await said(socket) == "o"
    request_id = fresh().rpartition("/")[2]
    await service.get("/info", headers={"X-Request-Id": request_id})
    while not any(request_id in each for each in server.log):  # noqa: ASYNC110 - a process's
        await asyncio.sleep(0.05)
    ours = [json.loads(each) for each in server.log if "/api/sockjs/-/-/" in each]
    assert {each["path"] for each in ours} >= {"/api/sockjs/-/-/xhr", "/api/sockjs/-/-/websocket"}
    assert path.rpartition("/")[2] not in "".join(server.log)


async def test_a_stop_ends_all_sessions_with_a_close_frame(tmp_path: Path) -> None:
    settings = {**SETTINGS, "KSNAP_SHUTDOWN_GRACE_S": "60"}  # which nobody is to wait for
    with running_server(tmp_path / "data", settings, module="tests.parties.sockjs_in_ksnap") as running:
        async with aiohttp.ClientSession(running.url, timeout=aiohttp.ClientTimeout(total=50)) as session:
            service = Service(session, "api/sockjs")
            polled = await service.opened()
            async with service.socket(fresh()) as framed, service.socket() as raw, service.streaming(fresh()) as stream:
                assert await said(framed) == "o"
                await stream.expect("o\n")
                polls = {asyncio.create_task(service.post(f"{polled}/xhr")) for _ in range(2)}
                _, (waiting,) = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
                running.process.terminate()
                assert await said(framed) == FAREWELL
                await stream.expect(f"{FAREWELL}\n")
                await stream.ends()
                assert await closed(raw) == (4005, "Session closed by server")
                assert (await waiting).text == f"{FAREWELL}\n"
        assert await asyncio.to_thread(running.process.wait, 30) == 0
