"""The stored watchers: what they are told, what is wished of them, how they fare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from ksnap.errors import AlreadyExists, KsnapError, NotFound
from ksnap.identity.users import utc_now
from ksnap.store.database import Database
from ksnap.store.tables import Watcher
from ksnap.watchers.definition import Definition

ERROR_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class WatcherRecords:
    """Reads and writes their rows."""

    database: Database

    async def all(self) -> Sequence[Watcher]:
        async with self.database.reading() as session:
            return (await session.scalars(select(Watcher).order_by(Watcher.name))).all()

    async def find(self, name: str) -> Watcher | None:
        async with self.database.reading() as session:
            return await session.get(Watcher, name)

    async def get(self, name: str) -> Watcher:
        found = await self.find(name)
        if found is None:
            raise _unknown(name)
        return found

    async def add(self, definition: Definition) -> None:
        """A new one, which is to run; AlreadyExists for a taken name."""
        now = utc_now()
        row = Watcher(
            name=definition.name, wanted=True, generation=1, in_trouble=False, last_error="", checkpoints_total=0,
            lease_holder="", lease_beat=0, created_at=now, started_at=now, last_update=now, **_told(definition),
        )  # fmt: skip
        try:
            async with self.database.writing() as session:
                session.add(row)
        except IntegrityError as error:
            raise AlreadyExists("The name is taken", details=f"a watcher named {definition.name!r} exists") from error

    async def change(self, definition: Definition) -> None:
        """Tell it something else; whoever acts for it begins anew."""
        async with self.database.writing() as session:
            row = await session.get(Watcher, definition.name, with_for_update=True)
            if row is None:
                raise _unknown(definition.name)
            for field, value in _told(definition).items():
                setattr(row, field, value)
            row.generation += 1
            row.last_update = utc_now()

    async def wish(self, name: str, *, running: bool) -> bool:
        """Whether it is to run; False if that was so already."""
        async with self.database.writing() as session:
            row = await session.get(Watcher, name, with_for_update=True)
            if row is None:
                raise _unknown(name)
            if row.wanted == running:
                return False
            row.wanted, row.last_update = running, utc_now()
            row.in_trouble = False
            if running:
                row.started_at, row.last_error = utc_now(), ""
                row.generation += 1
        return True

    async def remove(self, name: str) -> None:
        async with self.database.writing() as session:
            row = await session.get(Watcher, name, with_for_update=True)
            if row is None:
                raise _unknown(name)
            await session.delete(row)

    async def trouble(self, name: str, error: KsnapError) -> None:
        """It cannot watch now."""
        await self._set(name, in_trouble=True, last_error=sentence(error)[:ERROR_LIMIT])

    async def in_step(self, name: str) -> None:
        """It watches."""
        async with self.database.writing() as session:
            await session.execute(
                update(Watcher)
                .where(Watcher.name == name, Watcher.in_trouble.is_(True))
                .values(in_trouble=False, last_error="", last_update=utc_now())
            )

    async def gave_up(self, name: str, why: str) -> None:
        await self._set(name, last_error=why[:ERROR_LIMIT])

    async def _set(self, name: str, **values: Any) -> None:
        async with self.database.writing() as session:
            await session.execute(update(Watcher).where(Watcher.name == name).values(last_update=utc_now(), **values))


def sentence(error: KsnapError) -> str:
    """An error as one text, without what a foreign program wrote."""
    return ". ".join(part.rstrip(". ") for part in (error.message, error.details, error.hint) if part)


def _told(definition: Definition) -> dict[str, Any]:
    return {
        "cluster_name": definition.cluster,
        "scope": definition.scope.value,
        "namespace": definition.namespace,
        "trigger": definition.trigger.value,
        "auto_delete_pod": definition.auto_delete_pod,
        "options": definition.options.stored(),
    }


def _unknown(name: str) -> NotFound:
    return NotFound("Watcher not found", details=f"no watcher {name!r}", hint="See GET /operator/watchers/status")
