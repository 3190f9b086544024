"""One server process for all tests of this folder that change nothing of consequence to others; its users by role.

A module that wants another one makes a `server` of its own: `admin` and `anonymous` then speak to that.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.parties.registry import RunningRegistry, start_registry
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.seeded import Left, Seeded, Variety, seed_variety


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
async def admin(server: RunningServer) -> AsyncIterator[Client]:
    async with open_client(server.url, server.token) as client:
        yield client


@pytest.fixture
async def name(admin: Client) -> AsyncIterator[str]:
    """A configured cluster at which nobody answers."""
    name = fresh("cluster")
    new = {"name": name, "api_server_url": "https://127.0.0.1:1", "token": "t"}
    assert (await admin.post("/config/clusters/create", new)).status == 200
    yield name
    await admin.delete("/config/clusters/delete", {"name": name})


@pytest.fixture
async def anonymous(server: RunningServer) -> AsyncIterator[Client]:
    async with open_client(server.url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def left(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Left]:
    """A server of one module's own, over what an earlier process left."""
    data_dir = tmp_path_factory.mktemp("seeded") / "data"
    seeded, variety = await seed_variety(data_dir)
    with running_server(data_dir) as running:
        yield Left(running, seeded, variety)


@pytest.fixture
def seeded(left: Left) -> Seeded:
    return left.seeded


@pytest.fixture
def variety(left: Left) -> Variety:
    return left.variety


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
