"""WS /ws/progress (contract, section 4), over a real server whose jobs are written into its database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from ksnap.identity.tokens import open_tokens
from ksnap.settings import ServerSettings
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.follower import Follower, follower
from tests.server.job_events import JobWriter, open_writer

PASSWORD = "a long enough one"


@pytest.fixture
async def writer(server: RunningServer) -> AsyncIterator[JobWriter]:
    async with open_writer(server.data_dir) as opened:
        yield opened


@pytest.fixture
async def user(admin: Client, server: RunningServer) -> tuple[str, str]:
    """A viewer of this test's own, and a token."""
    name = fresh("ann")
    new = {"username": name, "password": PASSWORD, "role": "viewer", "email": "", "name": ""}
    assert (await admin.post("/config/user/create", new)).status == 200
    return name, await asyncio.to_thread(server.login, name, PASSWORD)


async def test_a_step_is_a_frame_with_the_contracts_fields(server: RunningServer, writer: JobWriter) -> None:
    job = await writer.job(namespace=fresh("ns"))
    async with follower(server.url, server.token, query={"job_id": job.id}) as anna:
        behind = await anna.ready()
        await writer.note(job, "freezing", percent=40.0)
        await writer.note(job, "it broke", stage="failed")
        first, last = await anna.steps(2)
    at = datetime.strptime(first["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert first == {
        "type": "progress",
        "id": first["id"],
        "task_name": "Create Checkpoint",
        "progress": 40,
        "message": "freezing",
        "timestamp": first["timestamp"],
        "initiator": "SnapApi",
        "cluster": "prod",
        "namespace": job.namespace,
        "pod_name": "web-0",
        "operation_id": job.id,
        "job_id": job.id,
        "stage": "dumping",
        "bytes_done": 1,
        "bytes_total": 2,
        "code": None,
    }
    assert behind < first["id"] < last["id"]
    assert last["progress"] == "failed"


async def test_a_token_may_come_as_a_subprotocol(server: RunningServer) -> None:
    async with follower(server.url, protocols=["snap.v1", f"bearer.{server.token}"]) as browser:
        assert browser.socket.protocol == "snap.v1"
        await browser.ready()


async def test_a_token_may_come_in_the_first_frame(server: RunningServer) -> None:
    async with follower(server.url) as browser:
        await browser.socket.send_json({"type": "auth", "token": server.token})
        assert await browser.frame() == {"type": "auth", "success": True}
        await browser.ready()


@pytest.mark.parametrize("how", ["header", "subprotocol", "frame", "another frame first", "no JSON", "long"])
async def test_a_wrong_token_is_told_and_closed_with_4401(server: RunningServer, how: str) -> None:
    protocols = ["snap.v1", "bearer.not.a.token"] if how == "subprotocol" else []
    async with follower(server.url, "not.a.token" if how == "header" else "", protocols=protocols) as stranger:
        match how:
            case "frame":
                await stranger.socket.send_json({"type": "auth", "token": "not.a.token"})
            case "another frame first":
                await stranger.socket.send_json({"type": "ping"})
            case "no JSON":
                await stranger.socket.send_str("{")
            case "long":
                await stranger.socket.send_json({"type": "auth", "token": "x" * 8500})
        closed = await stranger.closed()
    assert (closed.code, closed.error_code) == (4401, "AUTHENTICATION_FAILED")
    assert list(closed.frames[-1]) == ["success", "error", "details", "code"]
    assert len(closed.frames) == 1


async def test_who_says_nothing_is_closed_after_ten_seconds(server: RunningServer) -> None:
    async with follower(server.url) as silent:
        closed = await silent.closed()
    assert (closed.code, closed.error_code) == (4401, "AUTHENTICATION_FAILED")


async def test_a_connection_ends_with_its_token(server: RunningServer, user: tuple[str, str]) -> None:
    tokens = open_tokens(ServerSettings(data_dir=server.data_dir))
    now = datetime.now(UTC)
    generation = tokens.verify(user[1], now).generation
    short = tokens.issue(user[0], "viewer", generation, now - timedelta(seconds=3600 - 5)).text
    async with follower(server.url, short) as ann:
        closed = await ann.closed()
    assert (closed.code, closed.error_code) == (4401, "AUTHENTICATION_FAILED")
    assert "expired" in closed.frames[-1]["details"]


@pytest.mark.parametrize("what", ["role", "password", "deleted"])
async def test_a_connection_ends_with_its_users_rights(
    server: RunningServer, admin: Client, user: tuple[str, str], what: str
) -> None:
    name, token = user
    async with follower(server.url, token) as ann:
        await ann.ready()
        match what:
            case "role":
                done = await admin.put("/config/user/update", {"username": name, "role": "operator"})
            case "password":
                done = await admin.put("/config/user/update", {"username": name, "password": "another long one"})
            case _:
                done = await admin.delete("/config/user/delete", {"username": name})
        assert done.status == 200
        closed = await ann.closed()
    assert (closed.code, closed.error_code) == (4401, "AUTHENTICATION_FAILED")


async def test_users_get_their_own_and_nobodys_administrators_all(
    server: RunningServer, writer: JobWriter, user: tuple[str, str]
) -> None:
    name, token = user
    where = fresh("ns")
    jobs = [await writer.job(by=by, namespace=where) for by in ("admin", name, "watcher:web", "hook:web")]
    async with (
        follower(server.url, token, query={"namespace": where}) as ann,
        follower(server.url, server.token, query={"namespace": where}) as root,
    ):
        await ann.ready()
        await root.ready()
        for job in jobs:
            await writer.note(job, job.started_by)
        assert await root.messages(4) == ["admin", name, "watcher:web", "hook:web"]
        steps = await ann.steps(3)
    assert [each["message"] for each in steps] == [name, "watcher:web", "hook:web"]
    assert [each["initiator"] for each in steps] == ["SnapApi", "SnapWatcher", "SnapHook"]


async def test_filters_hold_for_what_was_and_what_comes(server: RunningServer, writer: JobWriter) -> None:
    cluster, namespace = fresh("c"), fresh("ns")
    wanted = await writer.job(cluster=cluster, namespace=namespace)
    others = [await writer.job(cluster=cluster), await writer.job(namespace=namespace)]
    query = {"cluster_name": cluster, "namespace": namespace, "after": "0"}
    for job in (*others, wanted):
        await writer.note(job, "before")
    async with follower(server.url, server.token, query=query) as anna:
        await anna.ready()
        assert await anna.messages(1) == ["before"]
        for job in (*others, wanted):
            await writer.note(job, "after")
        step = (await anna.steps(1))[0]
    assert (step["message"], step["job_id"]) == ("after", wanted.id)


async def test_a_reader_that_comes_back_misses_nothing(server: RunningServer, writer: JobWriter) -> None:
    """Events are written all the while; each connection is left after some, and the next goes on behind them."""
    job = await writer.job()
    expected = [f"step {number}" for number in range(120)]

    async def write() -> None:
        for each in expected:
            await writer.note(job, each)

    async with follower(server.url, server.token, query={"job_id": job.id}) as first:
        after = await first.ready()
    seen: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        while len(seen) < len(expected):
            query = {"job_id": job.id, "after": str(after)}
            async with follower(server.url, server.token, query=query) as again:
                assert await again.ready() == after
                for step in await again.steps(min(7, len(expected) - len(seen))):
                    seen.append(step["message"])
                    after = step["id"]
    assert seen == expected


async def test_an_id_of_the_future_is_the_present(server: RunningServer, writer: JobWriter) -> None:
    job = await writer.job()
    query = {"job_id": job.id, "after": str(1 << 40)}
    async with follower(server.url, server.token, query=query) as anna:
        await anna.ready()
        await writer.note(job, "now")
        assert await anna.messages(1) == ["now"]


async def test_pings_are_answered_and_all_else_is_ignored(server: RunningServer, writer: JobWriter) -> None:
    job = await writer.job()
    async with follower(server.url, server.token, query={"job_id": job.id}) as anna:
        await anna.ready()
        for said in ('"ping"', "[]", "{", '{"type": "progress"}', "[" * 5000):
            await anna.socket.send_str(said)
        await anna.socket.send_bytes(b"\xff\x00")
        await anna.socket.send_json({"type": "ping"})
        assert await anna.frame() == {"type": "pong"}
        await writer.note(job, "still here")
        assert await anna.messages(1) == ["still here"]


@pytest.mark.parametrize("size", [10_000, 2 << 20])
async def test_a_frame_that_is_too_long_ends_it(server: RunningServer, size: int) -> None:
    async with follower(server.url, server.token) as anna:
        await anna.ready()
        await anna.socket.send_str("x" * size)
        assert (await anna.closed()).code == 1009


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"after": "-1"}, 422, "VALIDATION_ERROR"),
        ({"job_id": "x"}, 422, "VALIDATION_ERROR"),
        ({"namespace": "../x"}, 422, "VALIDATION_ERROR"),
    ],
)
async def test_a_bad_filter_refuses_the_handshake(
    server: RunningServer, query: dict[str, str], status: int, code: str
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with follower(server.url, server.token, query=query):
            pass
    assert refused.value.status == status
    assert refused.value.headers is not None
    assert refused.value.headers["X-Request-Id"]


async def test_a_job_that_is_not_there_is_4404(server: RunningServer) -> None:
    async with follower(server.url, server.token, query={"job_id": "f" * 20}) as anna:
        closed = await anna.closed()
    assert (closed.code, closed.error_code) == (4404, "NOT_FOUND")


async def test_a_name_in_the_path_must_be_ones_own(server: RunningServer, user: tuple[str, str]) -> None:
    name, token = user
    async with follower(server.url, token, path=f"/ws/progress/{name}") as ann:
        await ann.ready()
    async with follower(server.url, token, path="/ws/progress/admin") as ann:
        closed = await ann.closed()
    assert (closed.code, closed.error_code) == (4403, "PERMISSION_DENIED")


async def test_who_must_change_the_password_first_sees_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", admin_password=None) as server:
        [line] = [each for each in server.log if "one-time password" in each]
        token = await asyncio.to_thread(server.login, "admin", line.split()[-1])
        async with follower(server.url, token) as admin:
            closed = await admin.closed()
    assert (closed.code, closed.error_code) == (4403, "PERMISSION_DENIED")


async def test_both_ends_of_a_connection_are_in_the_log(server: RunningServer) -> None:
    async with follower(server.url, server.token, headers={"X-Request-Id": "my-own-id"}) as anna:
        await anna.ready()
    lines = await _lines(server, "my-own-id", 2)
    assert '"connection_opened"' in lines[0]
    assert '"connection_closed"' in lines[1]
    assert '"username": "admin"' in lines[1]
    assert '"code": 1000' in lines[1]
    assert not any(server.token in line for line in server.log)


async def _lines(server: RunningServer, request_id: str, count: int) -> list[str]:
    async with asyncio.timeout(30):
        while len(found := [each for each in server.log if request_id in each]) < count:  # noqa: ASYNC110 - a process's
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Few connections, and pages of one other origin."""
    settings = {
        "KSNAP_ALLOWED_ORIGINS": "https://ui.example",
        "KSNAP_PROGRESS_CONNECTIONS": "3",
        "KSNAP_PROGRESS_CONNECTIONS_USER": "2",
    }
    with running_server(tmp_path_factory.mktemp("strict") / "data", settings) as running:
        yield running


async def test_only_pages_of_known_origins_connect(strict: RunningServer) -> None:
    for origin in ("https://ui.example", strict.url):
        async with follower(strict.url, strict.token, headers={"Origin": origin}) as page:
            await page.ready()
    for origin in ("https://evil.example", "null", "https://ui.example.evil", "https://" + strict.url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with follower(strict.url, strict.token, headers={"Origin": origin}):
                pass
        assert refused.value.status == 403


async def test_open_connections_are_bounded_for_each_and_all(strict: RunningServer) -> None:
    async with follower(strict.url, strict.token) as one, follower(strict.url, strict.token) as two:
        await one.ready()
        await two.ready()
        async with follower(strict.url, strict.token) as three:
            closed = await three.closed()
        assert (closed.code, closed.error_code) == (4429, "RATE_LIMIT_EXCEEDED")
        ann, ben = [await _new_user(strict) for _ in range(2)]
        async with follower(strict.url, ann) as first:
            await first.ready()
            async with follower(strict.url, ben) as second:
                closed = await second.closed()
            assert (closed.code, closed.error_code) == (4503, "SERVICE_UNAVAILABLE")
    async with asyncio.timeout(30):
        while True:  # both are given back
            async with follower(strict.url, strict.token) as again:
                if (await again.frame())["type"] == "ready":
                    break


async def _new_user(server: RunningServer) -> str:
    name = fresh("user")
    new = {"username": name, "password": PASSWORD, "role": "viewer", "email": "", "name": ""}
    async with open_client(server.url, server.token) as admin:
        assert (await admin.post("/config/user/create", new)).status == 200
    return await asyncio.to_thread(server.login, name, PASSWORD)


async def test_a_handshake_counts_once_and_the_budget_holds(tmp_path: Path) -> None:
    settings = {"KSNAP_RATE_LIMIT_USER": "1000", "KSNAP_RATE_LIMIT_ADDRESS": "5"}
    with running_server(tmp_path / "data", settings) as server:
        left = []
        for _ in range(2):
            async with follower(server.url, server.token) as anna:
                await anna.ready()
                for _ in range(5):
                    await anna.socket.send_json({"type": "ping"})
                    await anna.frame()
                left.append(await _remaining(server))
        assert left[0] - left[1] == 2, "a handshake and the look itself"
        statuses = []
        for _ in range(6):  # some were used up by the login
            try:
                async with follower(server.url, "not.a.token") as stranger:
                    await stranger.closed()
                    statuses.append(101)
            except aiohttp.WSServerHandshakeError as refused:
                statuses.append(refused.status)
        assert statuses[0] == 101
        assert statuses[-1] == 429


async def _remaining(server: RunningServer) -> int:
    async with aiohttp.ClientSession(server.url, headers=server.headers) as session, session.get("/jobs") as answer:
        return int(answer.headers["X-RateLimit-Remaining"])


@pytest.mark.timeout(180)
async def test_one_who_does_not_read_is_dropped_and_the_others_get_all(tmp_path: Path) -> None:
    """More than all buffers between hold is written while one reader sleeps; then it wakes up and hears why."""
    text = "x" * 20_000
    expected = [f"{number} {text}" for number in range(1000)]
    with running_server(tmp_path / "data", {"KSNAP_PROGRESS_PATIENCE_S": "2"}) as server:
        async with open_writer(server.data_dir) as writer:
            job = await writer.job()

            async def read(anna: Follower) -> list[str]:
                return await anna.messages(len(expected))

            async with (
                follower(server.url, server.token) as sleeper,
                follower(server.url, server.token) as first,
                follower(server.url, server.token) as second,
            ):
                for each in (sleeper, first, second):
                    await each.ready()
                async with asyncio.TaskGroup() as group:
                    reading = [group.create_task(read(each)) for each in (first, second)]
                    for begin in range(0, len(expected), 100):
                        await writer.note_many(job, expected[begin : begin + 100])
                assert [each.result() == expected for each in reading] == [True, True]
                await _lines(server, '"slow_reader_dropped"', 1)
                closed = await sleeper.closed()
                assert [each["message"] for each in closed.frames] == expected[: len(closed.frames)]
                assert len(closed.frames) < len(expected)
                assert closed.code == 1013
                await writer.note(job, "the end")
                assert await first.messages(1) == ["the end"]


@pytest.mark.timeout(180)
async def test_a_server_that_stops_says_so_and_waits_for_nobody(tmp_path: Path) -> None:
    """Neither for those who follow, nor for one who has not said who it is, nor for one who does not read."""
    settings = {"KSNAP_SHUTDOWN_GRACE_S": "60", "KSNAP_PROGRESS_PATIENCE_S": "600"}
    with running_server(tmp_path / "data", settings) as server:
        async with (
            open_writer(server.data_dir) as writer,
            follower(server.url, server.token) as anna,
            follower(server.url) as silent,
            follower(server.url, server.token) as sleeper,
        ):
            await anna.ready()
            await sleeper.ready()
            job = await writer.job()
            for _ in range(10):
                await writer.note_many(job, ["x" * 20_000] * 100)
            await anna.steps(1000)
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))  # it waits for 30 s, half of the grace
            assert (await anna.closed()).code == 1001
            assert (await silent.closed()).code in {1001, 1012}
            assert await stopping == 0
