"""A real database with a watcher in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate_apart
from ksnap.watchers.definition import Definition
from ksnap.watchers.records import WatcherRecords


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    migrate_apart(url)
    opened = open_database(url, timeout_s=10.0)
    yield opened
    await opened.close()


@pytest.fixture
async def records(database: Database) -> WatcherRecords:
    found = WatcherRecords(database)
    for name in ("one", "two"):
        await found.add(Definition(name, "prod"))
    return found
