"""The trail: who did what to what, from where, with which outcome. Lines are added and never changed.

Actions are constant past-tense words (`user_logged_in`, `checkpoint_downloaded`); a target names an object and never
holds a secret. What only reads lists leaves no line; what reads memory (downloads, insights) does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from ksnap.errors import KsnapError
from ksnap.identity.principal import Principal
from ksnap.store.database import Database
from ksnap.store.tables import AuditEntry

OK = "ok"
_log = structlog.get_logger(__name__)


async def record(database: Database, principal: Principal, action: str, target: str, outcome: str = OK) -> None:
    """Add a line; also to the log, where a collector may keep it out of the server's own reach."""
    entry = AuditEntry(
        at=datetime.now(UTC),
        username=principal.username[:200],
        action=action,
        target=target[:600],
        outcome=outcome,
        address=principal.address[:64],
        request_id=principal.request_id,
    )
    async with database.writing() as session:
        session.add(entry)
    _log.info(
        "audited", action=action, target=target[:600], outcome=outcome, username=entry.username, address=entry.address
    )


@asynccontextmanager
async def audited(database: Database, principal: Principal, action: str, target: str) -> AsyncIterator[None]:
    """Do the block and leave a line about how it went; its error goes on its way."""
    try:
        yield
    except KsnapError as error:
        await record(database, principal, action, target, error.code)
        raise
    await record(database, principal, action, target)
