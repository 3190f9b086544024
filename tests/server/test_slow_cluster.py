"""The status of a cluster that is slow to answer: soon, from what is known, while one pull goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.server.client import Client, fresh

TIMEOUT_S = 20
"""The cluster's: far longer than a status waits for a pull."""


@dataclass(slots=True)
class Mute:
    """A port that takes connections and says nothing, as an overloaded API server does."""

    port: int = 0
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.talks[task] = writer
        with suppress(OSError):
            await reader.read(-1)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def mute() -> AsyncIterator[Mute]:
    party = Mute()
    listener = await asyncio.start_server(party.connected, "127.0.0.1", 0)
    party.port = listener.sockets[0].getsockname()[1]
    yield party
    listener.close()
    for each in party.talks.values():
        each.transport.abort()
    await asyncio.gather(*party.talks)


async def test_a_pull_is_not_cut_off_by_those_who_wait_for_it(admin: Client, mute: Mute) -> None:
    name, url = fresh("slow"), f"https://127.0.0.1:{mute.port}"
    body = {"name": name, "api_server_url": url, "auth_type": "token", "token": "t", "timeout_s": TIMEOUT_S}
    assert (await admin.post("/config/clusters/create", body)).status == 200
    begun = asyncio.get_running_loop().time()
    for _ in range(2):
        answer = await admin.get(f"/cluster/status/{name}")
        assert (answer.status, answer.body["daemonset_status"]) == (200, "not_deployed")
    assert asyncio.get_running_loop().time() - begun < TIMEOUT_S
    assert len(mute.talks) == 1, "the second waits for the first one's pull"
    await admin.delete("/config/clusters/delete", {"name": name})
