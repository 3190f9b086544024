"""Clusters: where their API servers are, who ksnap is there, and which registry their images go to."""

import asyncio
from dataclasses import dataclass

import structlog
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.configuration.checks import api_server_url, base64_text, bearer_token, ca_certificate, invalid
from ksnap.errors import AlreadyExists, ClusterNotFound, Conflict, InvalidInput, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.identity.users import utc_now
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.credentials import resolve
from ksnap.model.image import check_repository
from ksnap.store.database import Database
from ksnap.store.encryption import Vault
from ksnap.store.tables import Cluster, Job, Registry, SnapHook

_log = structlog.get_logger(__name__)
DEFAULT_REPO = "snap_images"
DEFAULT_TIMEOUT_S = 30
# They would collide with paths below /cluster/status (contract, section 1).
RESERVED = frozenset({"summary", "report"})


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """What to store; None leaves a field as it is (or at its default in a new one)."""

    name: str
    api_server_url: str | None = None
    auth_type: AuthType | None = None
    kubeconfig_content: SecretStr | None = None
    token: SecretStr | None = None
    registry_name: str | None = None
    """Empty: none."""
    repo: str | None = None
    verify_ssl: bool | None = None
    ca_cert: str | None = None
    timeout_s: int | None = None

    def kind(self) -> AuthType | None:
        """How ksnap authenticates: as said, else what the given secret is for."""
        if self.auth_type is not None:
            return self.auth_type
        if _given(self.kubeconfig_content):
            return AuthType.KUBECONFIG
        return AuthType.TOKEN if _given(self.token) else None


class Clusters:
    """The clusters of one installation."""

    def __init__(self, database: Database, vault: Vault, *, agent_namespace: str) -> None:
        self._database = database
        self._vault = vault
        self._agent_namespace = agent_namespace

    async def create(self, by: Principal, change: ClusterChange) -> None:
        async with audited(self._database, by, "cluster_created", change.name):
            if change.name in RESERVED:
                raise invalid("name", f"{change.name!r} is reserved")
            if change.api_server_url is None:
                raise invalid("api_server_url", "Field required")
            row = _new_row(change.name)
            self._apply(row, change)
            await self._check(row)
            try:
                async with self._database.writing() as session:
                    if await session.get(Cluster, change.name) is not None:
                        raise _taken(change.name)
                    await _check_registry(session, row.registry_name)
                    session.add(row)
            except IntegrityError as error:  # another server was faster: with this name, or in deleting the registry
                await self._check_registry_again(row.registry_name)
                raise _taken(change.name) from error

    async def update(self, by: Principal, change: ClusterChange) -> None:
        async with audited(self._database, by, "cluster_updated", change.name):
            try:
                async with self._database.writing() as session:
                    row = await _existing(session, change.name, lock=True)
                    self._apply(row, change)
                    await _check_registry(session, row.registry_name)
                    await self._check(row)
            except IntegrityError as error:
                await self._check_registry_again(change.registry_name)
                raise Conflict("The cluster was changed at the same time", hint="Try again") from error

    async def delete(self, by: Principal, name: str) -> None:
        """Forget a cluster and its nodes' reports; what runs there and its checkpoints stay."""
        async with audited(self._database, by, "cluster_deleted", name), self._database.writing() as session:
            row = await _existing(session, name, lock=True)
            running = select(Job.id).where(Job.cluster_name == name, Job.status == "running").limit(1)
            if (job := await session.scalar(running)) is not None:
                raise Conflict(
                    "The cluster is in use", details=f"job {job} is running", hint="Wait for it, or cancel it"
                )
            hook = await session.scalar(select(SnapHook.name).where(SnapHook.cluster_name == name).limit(1))
            if hook is not None:
                raise Conflict("The cluster is in use", details=f"hook {hook} is of it", hint="Delete the hook first")
            await session.delete(row)

    async def names(self) -> list[str]:
        async with self._database.reading() as session:
            return list(await session.scalars(select(Cluster.name).order_by(Cluster.name)))

    async def list(self) -> list[Cluster]:
        """All clusters by name."""
        async with self._database.reading() as session:
            return list(await session.scalars(select(Cluster).order_by(Cluster.name)))

    async def get(self, name: str) -> Cluster:
        """One cluster's row, or ClusterNotFound."""
        async with self._database.reading() as session:
            return await _existing(session, name)

    async def config(self, name: str) -> ClusterConfig:
        """What is needed to reach a cluster, or ClusterNotFound. Holds its credentials."""
        return self._config(await self.get(name))

    async def reached(self, name: str) -> None:
        """Note that the cluster answered just now."""
        async with self._database.writing() as session:
            await session.execute(update(Cluster).where(Cluster.name == name).values(last_reached_at=utc_now()))

    def _apply(self, row: Cluster, change: ClusterChange) -> None:
        if change.api_server_url is not None:
            row.api_server_url = api_server_url(change.api_server_url)
        self._apply_credentials(row, change)
        if change.registry_name is not None:
            row.registry_name = change.registry_name or None
        if change.repo is not None:
            row.repo = _repo(change.repo)
        if change.ca_cert is not None:
            row.ca_cert = ca_certificate(change.ca_cert)
        if change.timeout_s is not None:
            row.timeout_s = change.timeout_s
        if change.verify_ssl is not None:
            row.verify_ssl = change.verify_ssl
        if not row.verify_ssl:
            _log.warning("cluster_tls_not_verified", cluster=row.name)

    def _apply_credentials(self, row: Cluster, change: ClusterChange) -> None:
        kind = change.kind() or AuthType(row.auth_type)
        if kind != row.auth_type:
            row.auth_type, row.credentials_encrypted = kind.value, None
        secret = _secret(change, kind)
        if secret:
            row.credentials_encrypted = self._vault.encrypt_text(secret)
        if row.credentials_encrypted is None and kind is not AuthType.SERVICE_ACCOUNT:
            field = "kubeconfig_content" if kind is AuthType.KUBECONFIG else "token"
            raise invalid(field, f"Field required for auth_type {kind}")

    async def _check(self, row: Cluster) -> None:
        """What can be told of a configuration without asking the cluster: its kubeconfig, certificates, keys."""
        if row.auth_type == AuthType.SERVICE_ACCOUNT:
            return  # its files are there only where the server runs in that cluster: a test of the connection tells
        try:
            await asyncio.to_thread(resolve, self._config(row))
        except InvalidInput as error:
            field = "kubeconfig_content" if row.auth_type == AuthType.KUBECONFIG else "ca_cert"
            why = ": ".join(part for part in (error.message, error.details) if part)
            raise invalid(field, why, hint=error.hint) from error

    async def _check_registry_again(self, name: str | None) -> None:
        async with self._database.reading() as session:
            await _check_registry(session, name or None)

    def _config(self, row: Cluster) -> ClusterConfig:
        credentials = self._vault.decrypt_text(row.credentials_encrypted) if row.credentials_encrypted else ""
        return ClusterConfig(
            name=row.name,
            api_server_url=row.api_server_url,
            auth_type=AuthType(row.auth_type),
            credentials=SecretStr(credentials),
            verify_ssl=row.verify_ssl,
            ca_cert=row.ca_cert,
            timeout_s=row.timeout_s,
            agent_namespace=self._agent_namespace,
        )


def _new_row(name: str) -> Cluster:
    return Cluster(
        name=name,
        api_server_url="",
        auth_type=AuthType.KUBECONFIG.value,
        repo=DEFAULT_REPO,
        verify_ssl=True,
        ca_cert="",
        timeout_s=DEFAULT_TIMEOUT_S,
        created_at=utc_now(),
    )


def _secret(change: ClusterChange, kind: AuthType) -> str:
    """The new secret in clear, or nothing; one for another way to authenticate is a mistake worth telling."""
    if _given(change.kubeconfig_content):
        if kind is not AuthType.KUBECONFIG:
            raise invalid("kubeconfig_content", f"auth_type is {kind}")
        return base64_text("kubeconfig_content", _text(change.kubeconfig_content))
    if _given(change.token):
        if kind is not AuthType.TOKEN:
            raise invalid("token", f"auth_type is {kind}")
        return bearer_token("token", _text(change.token))
    return ""


def _given(secret: SecretStr | None) -> bool:
    return bool(_text(secret))


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _repo(text: str) -> str:
    path = text.strip("/")
    try:
        return check_repository(path) if path else ""
    except InvalidInput as error:
        raise invalid("repo", f"{error.message}: {error.details}", hint=error.hint) from error


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists("The name is taken", details=f"a cluster named {name!r} exists")


async def _existing(session: AsyncSession, name: str, *, lock: bool = False) -> Cluster:
    """`lock`: to change it, so that another server neither changes nor deletes it meanwhile."""
    row = await session.get(Cluster, name, with_for_update=lock)
    if row is None:
        raise ClusterNotFound(
            "Cluster not found", details=f"no cluster named {name!r}", hint="See GET /config/clusters/list"
        )
    return row


async def _check_registry(session: AsyncSession, name: str | None) -> None:
    with session.no_autoflush:  # the name that may be wrong must not reach the database before it is checked
        known = name is None or await session.get(Registry, name) is not None
    if not known:
        raise NotFound(
            "Registry not found", details=f"registry_name: no registry named {name!r}", hint="Create it first"
        )
