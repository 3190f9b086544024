"""Registries: where checkpoint images go, and the account to use there."""

from dataclasses import dataclass

import structlog
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.configuration.checks import ca_certificate, invalid, registry_location
from ksnap.configuration.registry_usage import refuse_deletion, refuse_while_images_lie_there
from ksnap.errors import AlreadyExists, Conflict, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.identity.users import utc_now
from ksnap.model.registry_access import RegistryAccess
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Registry

_log = structlog.get_logger(__name__)
_MOVED = "Store the new host as another registry: the images at the old one are reached by this name alone"


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """What to store; None leaves a field as it is (or at its default in a new one)."""

    name: str
    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    verify_ssl: bool | None = None
    ca_cert: str | None = None


@dataclass(frozen=True, slots=True)
class ListedRegistry:
    """A registry without its secret."""

    name: str
    url: str
    username: str
    verify_ssl: bool
    has_password: bool


@dataclass(frozen=True, slots=True)
class StoredRegistry:
    """A registry as jobs use it."""

    name: str
    access: RegistryAccess
    prefix: str
    """Repository path that comes first in every image's name there; may be empty."""


class Registries:
    """The registries of one installation."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def create(self, by: Principal, change: RegistryChange) -> None:
        async with audited(self._database, by, "registry_created", change.name):
            row = Registry(name=change.name, url="", username="", verify_ssl=True, ca_cert="", created_at=utc_now())
            if change.url is None:
                raise invalid("url", "Field required")
            self._apply(row, change)
            try:
                async with self._database.writing() as session:
                    session.add(row)
            except IntegrityError as error:
                raise AlreadyExists("The name is taken", details=f"a registry named {change.name!r} exists") from error

    async def update(self, by: Principal, change: RegistryChange) -> None:
        async with audited(self._database, by, "registry_updated", change.name), self._database.writing() as session:
            row = await _existing(session, change.name, lock=True)
            if change.url is not None and registry_location(change.url).host != registry_location(row.url).host:
                await refuse_while_images_lie_there(session, change.name, hint=_MOVED)
            self._apply(row, change)

    async def delete(self, by: Principal, name: str) -> None:
        """Forget a registry that nothing needs any more."""
        async with audited(self._database, by, "registry_deleted", name):
            try:
                async with self._database.writing() as session:
                    row = await _existing(session, name, lock=True)
                    await refuse_deletion(session, name)
                    await session.delete(row)
            except IntegrityError as error:
                raise Conflict(
                    "The registry is in use", details="a cluster has just been given it", hint="See who uses it, again"
                ) from error

    async def list(self) -> list[ListedRegistry]:
        """All registries by name, without their secrets."""
        async with self._database.reading() as session:
            rows = await session.scalars(select(Registry).order_by(Registry.name))
            return [
                ListedRegistry(each.name, each.url, each.username, each.verify_ssl, each.password_encrypted is not None)
                for each in rows
            ]

    async def get(self, name: str) -> StoredRegistry:
        """One registry with its account, or NotFound."""
        async with self._database.reading() as session:
            row = await _existing(session, name)
        location = registry_location(row.url)
        password = self._vault.decrypt_text(row.password_encrypted) if row.password_encrypted else ""
        access = RegistryAccess(
            host=location.host,
            scheme=location.scheme,
            username=row.username,
            password=SecretStr(password),
            verify_ssl=row.verify_ssl,
            ca_cert=row.ca_cert,
        )
        return StoredRegistry(name, access, location.prefix)

    def _apply(self, row: Registry, change: RegistryChange) -> None:
        if change.url is not None:
            registry_location(change.url)
            row.url = change.url.strip()
        if change.username is not None:
            row.username = change.username
        if change.password is not None and change.password.get_secret_value():
            row.password_encrypted = self._vault.encrypt_text(change.password.get_secret_value())
        if not row.username:
            if change.password is not None and change.password.get_secret_value():
                raise invalid("username", "a password needs one")
            row.password_encrypted = None
        elif row.password_encrypted is None:
            raise invalid("password", "a username needs one")
        if change.ca_cert is not None:
            row.ca_cert = ca_certificate(change.ca_cert)
        if change.verify_ssl is not None:
            row.verify_ssl = change.verify_ssl
        if not row.verify_ssl:
            _log.warning("registry_tls_not_verified", registry=row.name)


async def _existing(session: AsyncSession, name: str, *, lock: bool = False) -> Registry:
    """`lock`: to change it, so that another server neither changes nor deletes it meanwhile."""
    row = await session.get(Registry, name, with_for_update=lock)
    if row is None:
        raise NotFound(
            "Registry not found", details=f"no registry named {name!r}", hint="See GET /config/registry/list"
        )
    return row
