"""A real database without any server, and the hooks' memory over it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ksnap.configuration.registries import Registries
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.tags import Tags
from ksnap.store.database import Database, open_database
from ksnap.store.encryption import Vault
from ksnap.store.migrate import migrate


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    opened = open_database(url, timeout_s=5.0)
    yield opened
    await opened.close()


@pytest.fixture
def tags(database: Database) -> Tags:
    return Tags(Registries(database, Vault(["A" * 43 + "="])))


@pytest.fixture
def catalog(database: Database, tags: Tags) -> Catalog:
    return Catalog(database, tags)
