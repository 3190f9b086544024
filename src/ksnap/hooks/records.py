"""The stored hooks and their authority. Keys are encrypted by the vault; renewals are by compare-and-set."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from sqlalchemy import CursorResult, Update, select, update
from sqlalchemy.exc import IntegrityError

from ksnap.errors import AlreadyExists, ClusterNotFound, Conflict, NotFound
from ksnap.hooks.certificates import Pair, load_pair
from ksnap.identity.users import utc_now
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Cluster, HookAuthority, SnapHook

_AUTHORITY = "admission"


class HookState(StrEnum):
    RUNNING = "running"
    STOPPING = "stopping"
    """Served until its configuration is removed."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Hook:
    """An admission hook as it is stored."""

    name: str
    cluster: str
    url: str
    namespace: str
    cert_expiry_days: int = 365
    wait_s: int = 0
    max_age_s: int = 0
    pull_secrets: tuple[str, ...] = ()
    state: HookState = HookState.STOPPED
    certificate_pem: str = ""
    certificate_version: int = 0
    key_encrypted: bytes = field(default=b"", repr=False)

    @property
    def is_served(self) -> bool:
        return self.state is not HookState.STOPPED

    @property
    def is_running(self) -> bool:
        return self.state is HookState.RUNNING

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path or "/"

    @property
    def certificate(self) -> Pair | None:
        """Without its key."""
        return load_pair(self.certificate_pem, "") if self.certificate_pem else None

    @property
    def expires_at(self) -> datetime | None:
        found = self.certificate
        return found.not_after if found else None

    @property
    def skipped_namespaces(self) -> tuple[str, str]:
        return "kube-system", self.namespace


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs the hooks' certificates, and who did before."""

    pair: Pair
    former_pem: str
    version: int

    @property
    def bundle_pem(self) -> str:
        return self.pair.certificate_pem + self.former_pem


@dataclass(frozen=True, slots=True)
class HookRecords:
    """Reads and writes them."""

    database: Database
    vault: Vault

    async def create(self, hook: Hook) -> None:
        try:
            async with self.database.writing() as session:
                if await session.get(Cluster, hook.cluster) is None:
                    raise ClusterNotFound("Cluster not found", details=f"no cluster named {hook.cluster!r}")
                if await session.get(SnapHook, hook.name) is not None:
                    raise AlreadyExists("The name is taken", details=f"a hook named {hook.name!r} exists")
                session.add(_row(hook))
        except IntegrityError as error:
            raise Conflict(
                "The URL's path is another hook's", details=hook.path, hint="Give each hook a path of its own"
            ) from error

    async def all(self) -> list[Hook]:
        """By name."""
        async with self.database.reading() as session:
            return [_hook(row) for row in await session.scalars(select(SnapHook).order_by(SnapHook.name))]

    async def get(self, name: str) -> Hook:
        async with self.database.reading() as session:
            row = await session.get(SnapHook, name)
        if row is None:
            raise _unknown(name)
        return _hook(row)

    async def become(self, name: str, state: HookState, *, only_from: HookState | None = None) -> bool:
        """Note its state; False if it was not in the one that it should have been in."""
        change = update(SnapHook).where(SnapHook.name == name).values(state=state.value)
        if only_from is not None:
            change = change.where(SnapHook.state == only_from.value)
        return await self._changes_one(change)

    async def remove(self, name: str) -> None:
        async with self.database.writing() as session:
            row = await session.get(SnapHook, name)
            if row is None:
                raise _unknown(name)
            await session.delete(row)

    async def put_certificate(self, hook: Hook, leaf: Pair) -> bool:
        """Give a hook a new certificate in the place of the one that it was read with; False if another was faster."""
        version = SnapHook.certificate_version == hook.certificate_version
        change = update(SnapHook).where(SnapHook.name == hook.name, version)
        return await self._changes_one(
            change.values(
                certificate_pem=leaf.certificate_pem,
                key_encrypted=self.vault.encrypt_text(leaf.key_pem),
                certificate_version=hook.certificate_version + 1,
            )
        )

    def key_pem(self, hook: Hook) -> str:
        return self.vault.decrypt_text(hook.key_encrypted)

    async def authority(self) -> Authority | None:
        async with self.database.reading() as session:
            row = await session.get(HookAuthority, _AUTHORITY)
        if row is None:
            return None
        pair = load_pair(row.certificate_pem, self.vault.decrypt_text(row.key_encrypted))
        return Authority(pair, row.former_pem, row.version)

    async def put_authority(self, former: Authority | None, pair: Pair) -> bool:
        """Put an authority in the place of `former`, which stays trusted; False if another was faster."""
        key = self.vault.encrypt_text(pair.key_pem)
        if former is not None:
            known = HookAuthority.version == former.version
            return await self._changes_one(
                update(HookAuthority).where(HookAuthority.name == _AUTHORITY, known).values(
                    certificate_pem=pair.certificate_pem, key_encrypted=key,
                    former_pem=former.pair.certificate_pem, version=former.version + 1,
                )
            )  # fmt: skip
        try:
            async with self.database.writing() as session:
                session.add(
                    HookAuthority(name=_AUTHORITY, version=1, certificate_pem=pair.certificate_pem, key_encrypted=key)
                )
        except IntegrityError:
            return False
        return True

    async def _changes_one(self, change: Update) -> bool:
        async with self.database.writing() as session:
            done = await session.execute(change)
            return isinstance(done, CursorResult) and done.rowcount == 1


def _unknown(name: str) -> NotFound:
    return NotFound("Hook not found", details=f"no hook named {name!r}", hint="See GET /snaphook/list")


def _row(hook: Hook) -> SnapHook:
    return SnapHook(
        name=hook.name,
        cluster_name=hook.cluster,
        webhook_url=hook.url,
        path=hook.path,
        namespace=hook.namespace,
        state=hook.state.value,
        cert_expiry_days=hook.cert_expiry_days,
        wait_s=hook.wait_s,
        max_age_s=hook.max_age_s,
        pull_secrets=list(hook.pull_secrets),
        created_at=utc_now(),
    )


def _hook(row: SnapHook) -> Hook:
    return Hook(
        name=row.name,
        cluster=row.cluster_name,
        url=row.webhook_url,
        namespace=row.namespace,
        cert_expiry_days=row.cert_expiry_days,
        wait_s=row.wait_s,
        max_age_s=row.max_age_s,
        pull_secrets=tuple(row.pull_secrets),
        state=HookState(row.state),
        certificate_pem=row.certificate_pem,
        certificate_version=row.certificate_version,
        key_encrypted=row.key_encrypted or b"",
    )
