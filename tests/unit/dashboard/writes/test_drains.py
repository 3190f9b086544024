"""The trace of drains in the database: what seems to run runs, whichever server is asked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ksnap.dashboard.writes.drains import SILENT, Drains, open_drains
from ksnap.errors import Conflict, NotFound
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import NodeDrain


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
    migrate(f"sqlite:///{tmp_path / 'test.db'}")
    opened = open_database(url, timeout_s=5)
    yield opened
    await opened.close()


async def add(
    database: Database, drain_id: str, *, server: str = "other", node: str = "n1", silent: timedelta = timedelta()
) -> None:
    """A drain that runs, as its row says."""
    now = datetime.now(UTC)
    row = NodeDrain(
        id=drain_id,
        cluster_name="prod",
        node_name=node,
        status="running",
        server_id=server,
        started_by="ann",
        options={},
        progress={"total": 2, "gone": 1, "pods": [], "skipped": []},
        started_at=now,
        seen_at=now - silent,
    )
    async with database.writing() as session:
        session.add(row)


async def status(drains: Drains, drain_id: str) -> str:
    return str((await drains.get("prod", "n1", drain_id))["status"])


async def test_another_servers_drain_runs_while_it_is_heard_of(database: Database) -> None:
    await add(database, "a")
    async with open_drains(database, "me") as drains:
        assert await status(drains, "a") == "running"
        assert (await drains.recent("prod", "n1"))[0]["gone"] == 1
        assert await drains.recent("prod", "n2") == await drains.recent("test", "n1") == []


async def test_a_silent_servers_drain_does_not(database: Database) -> None:
    await add(database, "a", silent=SILENT + timedelta(seconds=1))
    async with open_drains(database, "me") as drains:
        assert await status(drains, "a") == "interrupted"
        with pytest.raises(Conflict, match="has ended"):
            await drains.cancel("prod", "n1", "a")


async def test_what_an_earlier_process_left_is_over_at_once(database: Database) -> None:
    await add(database, "a", server="me")
    await add(database, "b", server="other", node="n2")
    async with open_drains(database, "me") as drains:
        left = await drains.get("prod", "n1", "a")
        assert (left["status"], left["message"], left["endedAt"] is not None) == (
            "interrupted",
            "Its server has ended",
            True,
        )
        assert (await drains.get("prod", "n2", "b"))["status"] == "running"


async def test_cancelling_what_runs_elsewhere_asks_that_server(database: Database) -> None:
    await add(database, "a")
    async with open_drains(database, "me") as drains:
        assert (await drains.cancel("prod", "n1", "a"))["status"] == "running"
    async with database.reading() as session:
        row = await session.get(NodeDrain, "a")
    assert row is not None
    assert row.cancel_requested


@pytest.mark.parametrize(("cluster", "node", "drain_id"), [("prod", "n1", "b"), ("prod", "n2", "a"), ("x", "n1", "a")])
async def test_a_drain_is_found_at_its_own_node(database: Database, cluster: str, node: str, drain_id: str) -> None:
    await add(database, "a")
    async with open_drains(database, "me") as drains:
        with pytest.raises(NotFound):
            await drains.get(cluster, node, drain_id)
