"""The database on a real SQLite file: its migrations, its two transactions, several users at once."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from ksnap.errors import Unavailable
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import MIGRATIONS, migrate, migrate_apart, newest
from ksnap.store.tables import Base, Cluster, User


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=5)
    yield database
    await database.close()


def user(name: str) -> User:
    return User(username=name, role="viewer", password_hash="x", created_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_the_migrated_schema_is_the_declared_one(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_time_comes_back_aware_and_in_utc(database: Database) -> None:
    async with database.writing() as session:
        session.add(user("ann"))
    async with database.reading() as session:
        assert (await session.scalars(select(User))).one().created_at == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_block_that_raises_is_rolled_back(database: Database) -> None:
    async def fail() -> None:
        async with database.writing() as session:
            session.add(user("ann"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with database.reading() as session:
        assert (await session.scalars(select(User))).all() == []


async def test_foreign_keys_are_checked(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.writing() as session:
            session.add(
                Cluster(
                    name="c",
                    api_server_url="https://c",
                    auth_type="token",
                    registry_name="absent",
                    created_at=datetime.now(UTC),
                )
            )


async def test_writers_that_read_first_wait_for_each_other(database: Database) -> None:
    async with database.writing() as session:
        session.add(user("ann"))

    async def raise_generation() -> None:
        async with database.writing() as session:
            ann = await session.get_one(User, "ann")
            await asyncio.sleep(0)
            ann.token_generation += 1

    await asyncio.gather(*(raise_generation() for _ in range(20)))
    async with database.reading() as session:
        assert (await session.get_one(User, "ann")).token_generation == 21


async def test_a_lock_that_is_not_released_is_unavailable_and_shows_no_parameter(url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=0.1)
    other = sqlite3.connect(tmp_path / "ksnap.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            async with database.writing() as session:
                session.add(user("secret-name"))
        assert "secret-name" not in caught.value.message + caught.value.explanation
        await database.check()
    finally:
        other.close()
        await database.close()


def test_several_servers_may_migrate_at_once(url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(migrate, [url] * 8))
    assert stat.S_IMODE((tmp_path / "ksnap.db").stat().st_mode) == 0o600


def test_the_newest_script_is_alembics_head() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_heads() == [newest()]


def test_a_database_that_cannot_be_opened_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "ksnap.db").mkdir()
    with pytest.raises(Unavailable, match="cannot be migrated") as caught:
        migrate(f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}")
    assert "KSNAP_DATABASE_URL" in caught.value.hint


def test_a_migration_apart_does_the_same_and_tells_the_same(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    for _ in range(2):
        migrate_apart(url)
    migrate(url)
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable, match="cannot be migrated") as caught:
        migrate_apart(f"sqlite+aiosqlite:///{tmp_path / 'folder'}")
    assert "KSNAP_DATABASE_URL" in caught.value.hint


async def test_sqlite_keeps_a_write_ahead_log(database: Database) -> None:
    async with database.reading() as session:
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
