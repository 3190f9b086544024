"""GET /progress/events: the same progress as server-sent events, and `ksnap watch`, which follows them."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from ksnap.identity.tokens import open_tokens
from ksnap.settings import ServerSettings
from tests.parties.server import RunningServer, running_server
from tests.parties.tcp_gate import tcp_gate
from tests.server.client import Client, fresh
from tests.server.follower import LIMIT_S, follower
from tests.server.job_events import JobWriter, open_writer
from tests.server.person import Person

PATH = "/progress/events"


@pytest.fixture
async def writer(server: RunningServer) -> AsyncIterator[JobWriter]:
    async with open_writer(server.data_dir) as opened:
        yield opened


class Stream:
    """The blocks of an answer; each its lines."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def block(self) -> list[str]:
        """The next one; empty at the end of the answer."""
        lines: list[str] = []
        async with asyncio.timeout(LIMIT_S):
            while (line := (await self._response.content.readline()).decode()) not in {"\n", ""}:
                lines.append(line.removesuffix("\n"))
        return lines

    async def begin(self) -> int:
        """The first block; the id behind which the reader is."""
        retry, identifier = await self.block()
        assert retry == "retry: 2000"
        return int(identifier.removeprefix("id: "))

    async def messages(self, count: int) -> list[str]:
        """Of the next blocks, which all are of progress."""
        found = []
        for _ in range(count):
            identifier, data = await self.block()
            frame = json.loads(data.removeprefix("data: "))
            assert identifier == f"id: {frame['id']}"
            assert frame["type"] == "progress"
            found.append(frame["message"])
        return found


@asynccontextmanager
async def stream(
    server: RunningServer, token: str = "", *, headers: Mapping[str, str] | None = None, **query: str
) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {token or server.token}", **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(server.url, timeout=timeout) as session,
        session.get(PATH, params=query, headers=sent) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


async def test_a_reader_comes_back_with_its_last_id(server: RunningServer, writer: JobWriter) -> None:
    job = await writer.job()
    for each in ("one", "two", "three"):
        await writer.note(job, each)
    async with stream(server, job_id=job.id, after="0") as first:
        assert await first.begin() == 0
        assert await first.messages(1) == ["one"]
        last = int((await first.block())[0].removeprefix("id: "))
    async with stream(server, job_id=job.id, after="0", headers={"Last-Event-ID": str(last)}) as again:
        assert await again.begin() == last
        assert await again.messages(1) == ["three"]
        await writer.note(job, "four")
        assert await again.messages(1) == ["four"]
    async with stream(server, job_id=job.id) as live:
        await live.begin()
        await writer.note(job, "five")
        assert await live.messages(1) == ["five"]


async def test_a_silent_stream_is_kept_alive(server: RunningServer, writer: JobWriter) -> None:
    job = await writer.job()
    async with stream(server, job_id=job.id) as reader:
        await reader.begin()
        assert await reader.block() == [": nothing new"]
        await writer.note(job, "now")
        assert await reader.messages(1) == ["now"]


async def test_others_jobs_are_not_shown(server: RunningServer, writer: JobWriter, admin: Client) -> None:
    name, where = fresh("ann"), fresh("ns")
    new = {"username": name, "password": "a long enough one", "role": "operator", "email": "", "name": ""}
    assert (await admin.post("/config/user/create", new)).status == 200
    token = await asyncio.to_thread(server.login, name, "a long enough one")
    for by in ("admin", name):
        await writer.note(await writer.job(by=by, namespace=where), by)
    async with stream(server, token, namespace=where, after="0") as ann:
        await ann.begin()
        assert await ann.messages(1) == [name]
    async with stream(server, namespace=where, after="0") as root:
        await root.begin()
        assert await root.messages(2) == ["admin", name]


async def test_refusals_have_their_status(admin: Client, anonymous: Client) -> None:
    assert (await anonymous.get(PATH)).status == 401
    assert (await admin.get(PATH, params={"job_id": "f" * 20})).status == 404
    assert (await admin.get(PATH, params={"after": "x"})).status == 422
    assert (await admin.get(PATH, headers={"Last-Event-ID": "x"})).status == 422


async def test_it_ends_with_its_token(server: RunningServer) -> None:
    tokens = open_tokens(ServerSettings(data_dir=server.data_dir))
    now = datetime.now(UTC)
    generation = tokens.verify(server.token, now).generation
    short = tokens.issue("admin", "administrator", generation, now - timedelta(seconds=3600 - 20)).text
    async with stream(server, short) as reader:
        await reader.begin()
        while (block := await reader.block()) == [": nothing new"]:
            pass
        event, data = block
        assert event == "event: failure"
        assert json.loads(data.removeprefix("data: "))["code"] == "AUTHENTICATION_FAILED"
        assert await reader.block() == []


async def test_connections_of_both_kinds_are_counted_together(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", {"KSNAP_PROGRESS_CONNECTIONS_USER": "1"}) as server:
        async with follower(server.url, server.token) as one, aiohttp.ClientSession(server.url) as session:
            await one.ready()
            async with session.get(PATH, headers=server.headers) as refused:
                assert refused.status == 429
        async with asyncio.timeout(LIMIT_S):
            while True:  # the other one's place is given back
                async with session_of(server) as session, session.get(PATH, headers=server.headers) as answer:
                    if answer.status == 200:
                        break


def session_of(server: RunningServer) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(server.url)


@pytest.mark.timeout(120)
async def test_it_ends_in_order_when_the_server_stops(tmp_path: Path) -> None:
    """And one who does not read holds nothing up."""
    settings = {"KSNAP_SHUTDOWN_GRACE_S": "60", "KSNAP_PROGRESS_PATIENCE_S": "600"}
    with running_server(tmp_path / "data", settings) as server:
        async with open_writer(server.data_dir) as writer, stream(server) as reader, stream(server) as sleeper:
            await reader.begin()
            await sleeper.begin()
            await writer.note_many(await writer.job(), ["x" * 20_000] * 1000)
            await reader.messages(1000)
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))  # it waits for 30 s, half of the grace
            assert await reader.block() == []
            assert await stopping == 0


@pytest.mark.timeout(120)
async def test_one_who_does_not_read_is_dropped(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", {"KSNAP_PROGRESS_PATIENCE_S": "1"}) as server:
        async with open_writer(server.data_dir) as writer, stream(server, after="0") as sleeper:
            await sleeper.begin()
            job = await writer.job()
            await writer.note_many(job, ["x" * 20_000] * 1000)
            async with asyncio.timeout(LIMIT_S):
                while not any('"slow_reader_dropped"' in line for line in server.log):  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.05)
            with pytest.raises(aiohttp.ClientError):
                await sleeper.messages(1000)
            assert not any("ASGI" in line for line in server.log)


# The command line


async def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.to_thread(process.stdout.readline)


def interrupted(process: "subprocess.Popen[str]") -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, err


@pytest.mark.timeout(180)
async def test_watch_takes_a_lost_connection_up_again(server: RunningServer, writer: JobWriter, tmp_path: Path) -> None:
    job = await writer.job()
    parts = urlsplit(server.url)
    async with tcp_gate(parts.hostname or "", parts.port or 0) as gate:
        person = Person(tmp_path, f"http://{gate.host}")
        process = person.start("watch", "--job", job.id, "--since", "0", "-o", "json", KSNAP_TOKEN=server.token)
        try:
            for number in range(3):
                await writer.note(job, f"before {number}")
                assert json.loads(await line(process))["message"] == f"before {number}"
                await gate.shut()
                await writer.note(job, f"away {number}")
                await gate.open()
                assert json.loads(await line(process))["message"] == f"away {number}"
        finally:
            code, err = await asyncio.to_thread(interrupted, process)
    assert code == 130
    assert err.count("connecting again") >= 3


@pytest.mark.timeout(180)
async def test_watch_shows_a_line_for_each_step(server: RunningServer, writer: JobWriter, tmp_path: Path) -> None:
    wanted, other = await writer.job(namespace=fresh("ns")), await writer.job()
    for job in (other, wanted):
        await writer.note(job, "on its way\x1b[2J")
    await writer.note(wanted, "it broke", stage="failed")
    process = Person(tmp_path, server.url).start(
        "watch", "--cluster", "prod", "--namespace", wanted.namespace, "--since", "0", KSNAP_TOKEN=server.token
    )
    try:
        first, last = await line(process), await line(process)
    finally:
        code, _err = await asyncio.to_thread(interrupted, process)
    assert code == 130
    assert first.split("  ")[1:] == [
        wanted.id, f"prod/{wanted.namespace}/web-0", "Create Checkpoint", "30%", "dumping", "1 B of 2 B",
        "on its way [2J\n",
    ]  # fmt: skip
    assert "failed  failed" in last


@pytest.mark.timeout(240)
async def test_watch_outlives_a_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    data_dir, port = tmp_path / "data", {"KSNAP_PORT": str(unused_tcp_port)}
    async with AsyncExitStack() as stack:
        with running_server(data_dir, port) as server:
            writer = await stack.enter_async_context(open_writer(data_dir))
            job = await writer.job()
            process = Person(tmp_path / "home", server.url).start("watch", "--since", "0", KSNAP_TOKEN=server.token)
            await writer.note(job, "before")
            before = await line(process)
            assert await asyncio.to_thread(server.stop) == 0
        await writer.note(job, "meanwhile")
        with running_server(data_dir, port):
            meanwhile = await line(process)
            code, err = await asyncio.to_thread(interrupted, process)
    assert (before.split()[-1], meanwhile.split()[-1]) == ("before", "meanwhile")
    assert code == 130
    assert "The server has ended the connection; connecting again" in err


def test_watch_ends_where_it_cannot_begin(server: RunningServer, tmp_path: Path) -> None:
    person = Person(tmp_path, server.url)
    assert person.ksnap("watch", KSNAP_TOKEN="no token at all").code == 3
    assert person.ksnap("watch", "--job", "f" * 20, KSNAP_TOKEN=server.token).code == 5
    assert person.ksnap("watch", "--server", "http://127.0.0.1:9", KSNAP_TOKEN=server.token).code == 7


@pytest.mark.timeout(180)
async def test_watch_ends_when_its_login_does(server: RunningServer, tmp_path: Path) -> None:
    tokens = open_tokens(ServerSettings(data_dir=server.data_dir))
    now = datetime.now(UTC)
    generation = tokens.verify(server.token, now).generation
    short = tokens.issue("admin", "administrator", generation, now - timedelta(seconds=3600 - 10)).text
    done = await asyncio.to_thread(Person(tmp_path, server.url).ksnap, "watch", KSNAP_TOKEN=short)
    assert (done.code, done.out) == (3, "")
