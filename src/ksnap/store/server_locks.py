"""Which of the servers on one PostgreSQL are alive: each holds an advisory lock on its id while it lives.

The lock is the session's, so PostgreSQL lets go of it when the process ends, however that happens; keepalives tell it
of a machine that went without a word. A session that breaks loses it too, though its server lives: `keep` takes it
again, and who looks for dead servers looks twice (`checkpoints/engine.py`). A pooler between the two has to pool by
session.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ksnap.errors import KsnapError, Unavailable
from ksnap.store.database import our_errors

AGAIN_S = 0.2
# A machine that lost its power is noticed after about 25 seconds; PostgreSQL alone would take two hours.
_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
ANSWER_S = 10.0

log = structlog.get_logger(__name__)


class ServerLocks:
    """This server's lock, and a way to ask for another's. Made by `open_server_locks`."""

    def __init__(self, engine: AsyncEngine, server_id: str) -> None:
        self._engine = engine
        self._server_id = server_id
        self._held: AsyncConnection | None = None

    async def take(self, *, patience_s: float) -> None:
        """Take this server's lock; Unavailable if another live one has it for so long."""
        until = time.monotonic() + patience_s
        while not await self._take():
            if time.monotonic() > until:
                raise Unavailable(
                    "Another server of this name uses this database",
                    details=f"server_id {self._server_id!r}",
                    hint="Stop it, or give each server a name of its own (KSNAP_SERVER_ID)",
                )
            await asyncio.sleep(AGAIN_S)

    async def keep(self) -> None:
        """See that the lock is still held, and take it again if its session broke. Never raises for the database."""
        try:
            if self._held is not None:
                with our_errors():
                    async with asyncio.timeout(ANSWER_S):
                        await self._held.execute(select(1))
                return
            if await self._take():
                log.info("server_lock_taken_again", server_id=self._server_id)
            else:
                log.error("server_lock_is_held_by_another", server_id=self._server_id)
        except KsnapError as error:
            log.warning("server_lock_lost", server_id=self._server_id, error=error.message)
            await self.close()

    @asynccontextmanager
    async def of_dead(self, server_id: str) -> AsyncIterator[bool]:
        """Whether a server of this name is dead; it is kept from starting within the block."""
        with our_errors():
            async with self._engine.connect() as connection:
                yield await _locked(connection, server_id)

    async def close(self) -> None:
        """Let go."""
        held, self._held = self._held, None
        if held is not None:
            await held.invalidate()  # a broken session would not answer a good-bye
            await held.close()

    async def _take(self) -> bool:
        with our_errors():
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.execute(
                    select(*(func.set_config(*each, text("false")) for each in _KEEPALIVE.items()))
                )
                if not await _locked(connection, self._server_id):
                    return False
                stack.pop_all()
                self._held = connection
                return True


@asynccontextmanager
async def open_server_locks(url: str, server_id: str, *, patience_s: float) -> AsyncIterator[ServerLocks]:
    """Hold the server's id for the block."""
    engine = create_async_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": max(1, int(patience_s))},
    )
    locks = ServerLocks(engine, server_id)
    try:
        await locks.take(patience_s=patience_s)
        yield locks
    finally:
        await locks.close()
        await engine.dispose()


async def _locked(connection: AsyncConnection, server_id: str) -> bool:
    digest = hashlib.sha256(f"ksnap server {server_id}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    return bool(await connection.scalar(select(func.pg_try_advisory_lock(key))))
