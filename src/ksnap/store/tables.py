"""The database's tables (SQLAlchemy 2, declarative). Alembic's migrations in `migrations/` follow this file.

Rules: times are UTC and aware; a secret is a `*_encrypted` column written by `encryption.Vault` alone; a JSON column
holds what only one room reads; whatever is filtered or sorted by has a column and an index of its own.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite gives naive ones back, which would compare wrongly."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)) if value else None


class Base(DeclarativeBase):
    # A constraint can be changed by a later migration only if it has a name that both databases agree on.
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(column_0_label)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, dict[str, str]: JSON}  # noqa: RUF012


class User(Base):
    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    email: Mapped[str] = mapped_column(String(320), default="")
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(String(200))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    token_generation: Mapped[int] = mapped_column(Integer, default=1)
    """Raised when password or role change: tokens of an earlier generation are refused."""
    created_at: Mapped[datetime]


class LoginFailure(Base):
    """Failed logins per user and address, for the lockout."""

    __tablename__ = "login_failures"

    username: Mapped[str] = mapped_column(String(64), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime]


class RateCounter(Base):
    """Requests counted in one clock hour, where several servers share the limits (PostgreSQL alone)."""

    __tablename__ = "rate_counters"

    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    """Who is counted, and the hour."""
    requests: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Registry(Base):
    __tablename__ = "registries"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    url: Mapped[str] = mapped_column(String(500))
    username: Mapped[str] = mapped_column(String(200), default="")
    password_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    verify_ssl: Mapped[bool] = mapped_column(default=True)
    ca_cert: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]


class Cluster(Base):
    __tablename__ = "clusters"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    api_server_url: Mapped[str] = mapped_column(String(500))
    auth_type: Mapped[str] = mapped_column(String(20))
    credentials_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The kubeconfig (YAML text) or the token; None for service_account."""
    registry_name: Mapped[str | None] = mapped_column(ForeignKey("registries.name"))
    repo: Mapped[str] = mapped_column(String(200), default="snap_images")
    verify_ssl: Mapped[bool] = mapped_column(default=True)
    ca_cert: Mapped[str] = mapped_column(Text, default="")
    timeout_s: Mapped[int] = mapped_column(Integer, default=30)
    last_reached_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class NodeStatus(Base):
    """The last report of each node's agent, pulled or pushed."""

    __tablename__ = "node_statuses"

    cluster_name: Mapped[str] = mapped_column(ForeignKey("clusters.name", ondelete="CASCADE"), primary_key=True)
    node_name: Mapped[str] = mapped_column(String(253), primary_key=True)
    reported_at: Mapped[datetime]
    report: Mapped[dict[str, Any]]


class UsageLook(Base):
    """What a cluster's pods and nodes used at one minute, of the last hour."""

    __tablename__ = "usage_looks"

    cluster_name: Mapped[str] = mapped_column(ForeignKey("clusters.name", ondelete="CASCADE"), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, index=True)
    """Unix seconds, a whole minute."""
    content: Mapped[bytes] = mapped_column(LargeBinary)
    """Names and amounts, packed; only the dashboard reads it."""


class Checkpoint(Base):
    """Our record of one frozen container. Its bytes are in the registry (`image_digest`) or a blob (`blob_key`)."""

    __tablename__ = "checkpoints"
    __table_args__ = (
        Index("checkpoints_by_time", "created_at"),
        Index("checkpoints_by_pod", "cluster_name", "namespace", "pod_name"),
        # Two dumps of one container at once would fail each other; the database is the judge (contract: CONFLICT).
        Index(
            "checkpoints_one_in_flight",
            "cluster_name", "namespace", "pod_name", "container_name",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    cluster_name: Mapped[str] = mapped_column(String(63))
    namespace: Mapped[str] = mapped_column(String(63))
    pod_name: Mapped[str] = mapped_column(String(253))
    pod_uid: Mapped[str] = mapped_column(String(64))
    container_name: Mapped[str] = mapped_column(String(63))
    container_id: Mapped[str] = mapped_column(String(200))
    node_name: Mapped[str] = mapped_column(String(253))
    status: Mapped[str] = mapped_column(String(20))
    """running, completed, failed, deleting."""
    filename: Mapped[str] = mapped_column(String(600))
    key: Mapped[dict[str, str]]
    """The checkpoint key's parts, as image annotations."""
    key_digest: Mapped[str] = mapped_column(String(64), index=True)
    pod_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    """The source pod (JSON), for restores; its environment may hold secrets."""
    created_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(String(64))
    owner_label: Mapped[str] = mapped_column(String(200), default="")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    archive_digest: Mapped[str | None] = mapped_column(String(71))
    compressed_bytes: Mapped[int | None] = mapped_column(BigInteger)
    compressed_digest: Mapped[str | None] = mapped_column(String(71))
    freeze_engine: Mapped[str | None] = mapped_column(String(20))
    frozen_us: Mapped[int | None] = mapped_column(BigInteger)
    archive_annotations: Mapped[dict[str, str]] = mapped_column(default=dict)
    blob_key: Mapped[str | None] = mapped_column(String(600))
    registry_name: Mapped[str | None] = mapped_column(String(63))
    image: Mapped[str | None] = mapped_column(String(600))
    """Full reference with tag."""
    image_digest: Mapped[str | None] = mapped_column(String(71))
    error_code: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(Text)
    pinned: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """No retention policy takes it."""


class RetentionPolicy(Base):
    """Which checkpoints are kept (`checkpoints/retention/rules.py`)."""

    __tablename__ = "retention_policies"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    cluster_name: Mapped[str] = mapped_column(String(63), default="")
    namespace: Mapped[str] = mapped_column(String(63), default="")
    owner: Mapped[str] = mapped_column(String(400), default="")
    per: Mapped[str] = mapped_column(String(20))
    keep_last: Mapped[int | None] = mapped_column(Integer)
    max_age_s: Mapped[int | None] = mapped_column(BigInteger)
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    keep_newest: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class RetentionRound(Base):
    """One round: what went and why. Its row is also the claim of the server that does it."""

    __tablename__ = "retention_rounds"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    slot: Mapped[int] = mapped_column(BigInteger, unique=True)
    """Of the clock, for rounds that no user asked for: one server gets it. Negative for the others."""
    started_by: Mapped[str] = mapped_column(String(80))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    deletions: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)


class Job(Base):
    """One durable job; its id is the DBOS workflow's id."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_status", "status"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    """checkpoint, publish, restore, delete."""
    status: Mapped[str] = mapped_column(String(20))
    """running, completed, failed, cancelled."""
    checkpoint_id: Mapped[str | None] = mapped_column(String(40), index=True)
    cluster_name: Mapped[str] = mapped_column(String(63))
    namespace: Mapped[str] = mapped_column(String(63))
    pod_name: Mapped[str] = mapped_column(String(253))
    started_by: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]]
    """What was asked, without secrets."""
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    """A WireError."""
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class JobEvent(Base):
    """Progress of a job, kept so that a reader can come back with the last `id` it saw."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    task_name: Mapped[str] = mapped_column(String(100))
    """As the contract names it: Create Checkpoint, Create and Push Checkpoint Container, Restore."""
    stage: Mapped[str] = mapped_column(String(40))
    progress: Mapped[float]
    message: Mapped[str] = mapped_column(Text, default="")
    bytes_done: Mapped[int | None] = mapped_column(BigInteger)
    bytes_total: Mapped[int | None] = mapped_column(BigInteger)
    code: Mapped[str | None] = mapped_column(String(40))
    capture_sequence: Mapped[int | None] = mapped_column(Integer)
    """The agent's own count, where an event came from a capture: a restarted server asks for what follows it."""


class AuditEntry(Base):
    """Who did what to what, from where, with which outcome. Never updated."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    username: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(60))
    target: Mapped[str] = mapped_column(String(600))
    outcome: Mapped[str] = mapped_column(String(40))
    """`ok` or an error code."""
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))


class DashboardDocument(Base):
    """What the dashboard's page keeps for all: its settings, its pinned resources."""

    __tablename__ = "dashboard_documents"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    """Counts the changes: who changes says which one was seen."""
    content: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(200))


class NodeDrain(Base):
    """A drain of a node. It lives in one server's memory, with the credentials of who began it; this is its trace."""

    __tablename__ = "node_drains"
    __table_args__ = (
        Index("node_drains_by_node", "cluster_name", "node_name", "started_at"),
        # Two drains of one node would only be in each other's way.
        Index(
            "node_drains_one_running",
            "cluster_name", "node_name",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    cluster_name: Mapped[str] = mapped_column(String(63))
    node_name: Mapped[str] = mapped_column(String(253))
    status: Mapped[str] = mapped_column(String(20))
    """running, completed, failed, cancelled, interrupted."""
    server_id: Mapped[str] = mapped_column(String(200))
    started_by: Mapped[str] = mapped_column(String(200))
    """Empty for one who came with a Kubernetes token."""
    options: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    message: Mapped[str] = mapped_column(Text, default="")
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When its server last said that it is at work."""
    ended_at: Mapped[datetime | None] = mapped_column(index=True)


class SnapHook(Base):
    """An admission hook of a cluster (`hooks/`)."""

    __tablename__ = "snap_hooks"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    cluster_name: Mapped[str] = mapped_column(ForeignKey("clusters.name"))
    webhook_url: Mapped[str] = mapped_column(String(500))
    path: Mapped[str] = mapped_column(String(500), unique=True)
    """Of the URL: by it the listener knows the hook."""
    namespace: Mapped[str] = mapped_column(String(63))
    state: Mapped[str] = mapped_column(String(20))
    """running, stopping (its configuration is still to be removed), stopped."""
    cert_expiry_days: Mapped[int] = mapped_column(Integer)
    wait_s: Mapped[int] = mapped_column(Integer)
    max_age_s: Mapped[int] = mapped_column(BigInteger)
    """0: any age."""
    pull_secrets: Mapped[list[str]] = mapped_column(JSON, default=list)
    certificate_pem: Mapped[str] = mapped_column(Text, default="")
    key_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    certificate_version: Mapped[int] = mapped_column(Integer, default=0)
    """Raised by each renewal: of several servers that renew at once, one does."""
    created_at: Mapped[datetime]


class HookAuthority(Base):
    """The authority that signs the hooks' certificates: one row, named `admission`."""

    __tablename__ = "hook_authorities"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    certificate_pem: Mapped[str] = mapped_column(Text)
    key_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    former_pem: Mapped[str] = mapped_column(Text, default="")
    """Its predecessor, which is trusted until every hook has a certificate of the new one."""


# Watchers


class Watcher(Base):
    """A SnapWatcher: what it freezes, whether it is to run, and which server acts for it (`watchers/`)."""

    __tablename__ = "watchers"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    cluster_name: Mapped[str] = mapped_column(String(63), index=True)
    scope: Mapped[str] = mapped_column(String(20))
    """cluster or namespace."""
    namespace: Mapped[str] = mapped_column(String(63), default="")
    trigger: Mapped[str] = mapped_column(String(20))
    auto_delete_pod: Mapped[bool] = mapped_column(default=True)
    options: Mapped[dict[str, Any]]
    """Selector, containers, settle time, warm-up, schedule: only the watcher reads them."""
    wanted: Mapped[bool] = mapped_column(default=True)
    """Whether it is to run; kept over restarts."""
    generation: Mapped[int] = mapped_column(Integer, default=1)
    """Counts the changes: a server that acts for an older one begins anew."""
    in_trouble: Mapped[bool] = mapped_column(default=False)
    """The cluster cannot be watched now; `last_error` says why."""
    last_error: Mapped[str] = mapped_column(Text, default="")
    checkpoints_total: Mapped[int] = mapped_column(Integer, default=0)
    lease_holder: Mapped[str] = mapped_column(String(200), default="")
    lease_beat: Mapped[int] = mapped_column(BigInteger, default=0)
    """Moves while the holder lives; one that stands still for long may be taken."""
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    last_update: Mapped[datetime]


class WatcherClaim(Base):
    """Whose turn it is to freeze for a checkpoint key: one row for each key and occasion, over all watchers."""

    __tablename__ = "watcher_claims"
    __table_args__ = (
        Index("watcher_claims_by_watcher", "watcher_name", "state"),
        # Two checkpoints of one key at once would push two images to one tag; the database is the judge.
        Index(
            "watcher_claims_one_making",
            "key_digest",
            unique=True,
            sqlite_where=text("state = 'making'"),
            postgresql_where=text("state = 'making'"),
        ),
    )  # fmt: skip

    key_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    occasion: Mapped[str] = mapped_column(String(200), primary_key=True)
    """Empty: the first checkpoint of the key. Else what asked for another: a time of a schedule, an annotation."""
    state: Mapped[str] = mapped_column(String(20))
    """making, waiting (for another try), done, failed."""
    watcher_name: Mapped[str] = mapped_column(String(63))
    cluster_name: Mapped[str] = mapped_column(String(63))
    namespace: Mapped[str] = mapped_column(String(63))
    pod_name: Mapped[str] = mapped_column(String(253))
    pod_uid: Mapped[str] = mapped_column(String(64))
    container_name: Mapped[str] = mapped_column(String(63))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_try_at: Mapped[datetime | None]
    job_id: Mapped[str | None] = mapped_column(String(40))
    pod_deleted: Mapped[bool] = mapped_column(default=False)
    """Whether a pod was deleted for it: that happens once."""
    claimed_at: Mapped[datetime]


class WatcherAttempt(Base):
    """A container that a watcher is done with, whatever came of it; forgotten with its pod."""

    __tablename__ = "watcher_attempts"

    cluster_name: Mapped[str] = mapped_column(String(63), primary_key=True)
    pod_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    container_name: Mapped[str] = mapped_column(String(63), primary_key=True)
    occasion: Mapped[str] = mapped_column(String(200), primary_key=True)
    watcher_name: Mapped[str] = mapped_column(String(63))
    outcome: Mapped[str] = mapped_column(String(20))
    """done or failed."""
    at: Mapped[datetime]


class WatcherEvent(Base):
    """What a watcher did and what it left, per pod; the newest some thousand of each."""

    __tablename__ = "watcher_events"
    __table_args__ = (Index("watcher_events_by_pod", "watcher_name", "pod_uid"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    watcher_name: Mapped[str] = mapped_column(ForeignKey("watchers.name", ondelete="CASCADE"))
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(20))
    namespace: Mapped[str] = mapped_column(String(63))
    pod_name: Mapped[str] = mapped_column(String(253))
    pod_uid: Mapped[str] = mapped_column(String(64))
    container_name: Mapped[str] = mapped_column(String(63), default="")
    message: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str | None] = mapped_column(String(40))
