"""What the dashboard's page keeps for everyone: its settings and its pinned resources (contract, sections 14 and 15).

Kept in ksnap's own database and not in a config map of some cluster: one page serves many clusters. Everyone may read
them, administrators change them. A version tells whether they were changed since somebody looked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ksnap.errors import Conflict, InvalidInput, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.store.database import Database
from ksnap.store.tables import DashboardDocument

DEFAULTS: Mapping[str, Any] = {
    "clusterName": "",
    "itemsPerPage": 10,
    "labelsLimit": 3,
    "logsAutoRefreshTimeInterval": 5,
    "resourceAutoRefreshTimeInterval": 10,
    "disableAccessDeniedNotifications": False,
    "hideAllNamespaces": False,
    "defaultNamespace": "default",
    "namespaceFallbackList": ["default"],
}
SETTINGS, PINNED = "settings", "pinned"
MOST_PINNED = 200
Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is now; version 0 for one that nobody has changed yet."""

    version: int
    content: Content


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The documents of one installation."""

    _database: Database

    async def settings(self) -> Document:
        """The settings, defaults where nothing was set."""
        stored = await self._load(SETTINGS)
        return Document(stored.version, {**DEFAULTS, **stored.content})

    async def save(self, by: Principal, given: Content, seen: int | None) -> Document:
        """Set what is given, and the rest to its default. Conflict if they are not those that were `seen`."""
        async with audited(self._database, by, "dashboard_settings_saved", "settings"):
            return await self._change(by, SETTINGS, seen, lambda _: {**DEFAULTS, **given})

    async def pinned(self) -> Document:
        """The pinned resources, below `items`."""
        stored = await self._load(PINNED)
        return Document(stored.version, {"items": stored.content.get("items", [])})

    async def pin(self, by: Principal, resource: Content) -> None:
        """Pin one; one that is pinned already gets the new name."""

        def pinned(content: Content) -> Content:
            items = [each for each in content.get("items", []) if not _is_same(each, resource)]
            if len(items) >= MOST_PINNED:
                raise InvalidInput("Too many resources are pinned", details=f"at most {MOST_PINNED}")
            return {"items": [*items, resource]}

        async with audited(self._database, by, "resource_pinned", _named(resource)):
            await self._change(by, PINNED, None, pinned)

    async def unpin(self, by: Principal, resource: Content) -> None:
        def unpinned(content: Content) -> Content:
            items = content.get("items", [])
            left = [each for each in items if not _is_same(each, resource)]
            if len(left) == len(items):
                raise NotFound("pinned resource not found", details=_named(resource))
            return {"items": left}

        async with audited(self._database, by, "resource_unpinned", _named(resource)):
            await self._change(by, PINNED, None, unpinned)

    async def _load(self, name: str) -> Document:
        async with self._database.reading() as session:
            row = await session.get(DashboardDocument, name)
        return Document(row.version, row.content) if row else Document(0, {})

    async def _change(
        self, by: Principal, name: str, seen: int | None, change: Callable[[Content], Content]
    ) -> Document:
        now = datetime.now(UTC)
        try:
            async with self._database.writing() as session:
                query = select(DashboardDocument).where(DashboardDocument.name == name).with_for_update()
                row = await session.scalar(query)
                if seen is not None and seen != (row.version if row else 0):
                    raise _changed_since(name)
                content = change(dict(row.content) if row else {})
                if row is None:
                    row = DashboardDocument(name=name, version=0)
                    session.add(row)
                row.version, row.content = row.version + 1, content
                row.changed_at, row.changed_by = now, by.username
                return Document(row.version, content)
        except IntegrityError:
            raise _changed_since(name) from None  # another server made the first version at the same moment


def _changed_since(name: str) -> Conflict:
    return Conflict(f"The {name} changed since they were loaded", hint="Load them again")


def _is_same(one: Content, other: Content) -> bool:
    return all((one.get(key) or "") == (other.get(key) or "") for key in ("kind", "name", "namespace"))


def _named(resource: Content) -> str:
    return "/".join(str(resource[key]) for key in ("kind", "namespace", "name") if resource.get(key))
