"""The database: one async engine, two kinds of transaction, errors of the driver turned into ours.

SQLite (WAL, foreign keys on) serves one server process; PostgreSQL serves many. `writing()` takes SQLite's one write
lock at its beginning: a transaction that read first and wrote later would fail where another wrote in between.
IntegrityError is left to the services, who know what a taken name means.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from ksnap.errors import InsufficientStorage, KsnapError, Unavailable

# Readers and one writer; more would wait for SQLite's lock anyhow, and PostgreSQL allows a hundred in all by default.
POOL_SIZE = 10
# A transaction's whole time, in units of the time that it may wait for its connection and as long for SQLite's lock.
DEADLINE_FACTOR = 3
_FULL = ("database or disk is full", "No space left on device", "could not extend file")


class DatabaseUnavailable(Unavailable):
    """The database is away or busy: nothing was learned, and of a write not even whether it counts."""


class Database:
    """The server's database. Made by `open_database`, closed by its owner."""

    def __init__(self, engine: AsyncEngine, *, deadline_s: float) -> None:
        self.engine = engine
        self._deadline_s = deadline_s
        self._reading = async_sessionmaker(engine, expire_on_commit=False)
        self._writing = async_sessionmaker(engine.execution_options(sqlite_begin="IMMEDIATE"), expire_on_commit=False)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads: one consistent view, no lock."""
        with our_errors():
            async with asyncio.timeout(self._deadline_s), self._reading() as session, session.begin():
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes: committed at the block's end, rolled back if the block raises."""
        with our_errors():
            async with asyncio.timeout(self._deadline_s), self._writing() as session, session.begin():
                yield session

    async def check(self) -> None:
        """Unavailable unless the database answers."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


def open_database(url: str, *, timeout_s: float) -> Database:
    """A database whose tables are there already: `migrate.migrate` makes them. Connects when first used."""
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_async_engine(
            url, pool_size=POOL_SIZE, pool_timeout=timeout_s, connect_args={"timeout": timeout_s}
        )
        prepare_sqlite(engine.sync_engine)
    else:
        engine = create_async_engine(
            url,
            pool_size=POOL_SIZE,
            pool_timeout=timeout_s,
            pool_pre_ping=True,
            connect_args={"connect_timeout": max(1, int(timeout_s))},
        )
    return Database(engine, deadline_s=DEADLINE_FACTOR * timeout_s)


def prepare_sqlite(engine: Engine) -> None:
    """Make an engine's connections behave: foreign keys checked, WAL, and transactions begun by SQLAlchemy alone.

    Python's driver would begin one only at the first write, and then without the lock that `writing` wants.
    """

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA journal_mode=WAL")
        # With WAL this cannot corrupt the file; FULL keeps the last commits over a power cut as well.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")


@contextmanager
def our_errors() -> Iterator[None]:
    """The driver's errors, and time that ran out, as ours."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, TimeoutError) as error:
        raise _converted(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _converted(error) from error
        raise


def _converted(error: Exception) -> KsnapError:
    """The driver's text stays in the log (as the cause): it may hold parameters, and those may be secret."""
    if any(sign in str(error) for sign in _FULL):
        return InsufficientStorage("The database's disk is full", hint="Free space where the database is kept")
    return DatabaseUnavailable("The database does not answer", hint="Try again in a moment")
