"""The stored policies and pins."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from ksnap.checkpoints.records import CheckpointStatus
from ksnap.checkpoints.retention.rules import Candidate, Per, Policy
from ksnap.errors import InvalidInput, NotFound
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.identity.users import utc_now
from ksnap.model.checkpoint_key import key_of_annotations
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, RetentionPolicy


@dataclass(frozen=True, slots=True)
class Policies:
    """Reads and writes them; every change leaves a line in the trail."""

    database: Database

    async def all(self) -> list[Policy]:
        """In the order in which they are applied: by name."""
        async with self.database.reading() as session:
            rows = (await session.scalars(select(RetentionPolicy).order_by(RetentionPolicy.name))).all()
        return [_policy(row) for row in rows]

    async def put(self, by: Principal, policy: Policy) -> None:
        """Store a policy in the place of one of its name; InvalidInput for one without any bound."""
        async with audited(self.database, by, "retention_policy_set", policy.name):
            if policy.keep_last is None and policy.max_age is None and policy.max_bytes is None:
                raise InvalidInput(
                    "The policy has no bound", details=policy.name, hint="Give keep_last, max_age_s or max_bytes"
                )
            async with self.database.writing() as session:
                row = await session.get(RetentionPolicy, policy.name)
                if row is None:
                    row = RetentionPolicy(name=policy.name, created_at=utc_now())
                    session.add(row)
                row.cluster_name, row.namespace, row.owner = policy.cluster, policy.namespace, policy.owner
                row.per, row.keep_last, row.max_bytes = policy.per.value, policy.keep_last, policy.max_bytes
                row.max_age_s = None if policy.max_age is None else int(policy.max_age.total_seconds())
                row.keep_newest = policy.keep_newest

    async def delete(self, by: Principal, name: str) -> None:
        change = audited(self.database, by, "retention_policy_deleted", name)
        async with change, self.database.writing() as session:
            row = await session.get(RetentionPolicy, name)
            if row is None:
                raise NotFound("Retention policy not found", details=f"no policy {name!r}")
            await session.delete(row)

    async def pin(self, by: Principal, checkpoint_id: str, *, pinned: bool) -> None:
        """Whether policies leave a checkpoint alone. Again is harmless."""
        action = "checkpoint_pinned" if pinned else "checkpoint_unpinned"
        async with audited(self.database, by, action, checkpoint_id), self.database.writing() as session:
            row = await session.get(Checkpoint, checkpoint_id)
            if row is None:
                raise NotFound("Checkpoint not found", details=f"no checkpoint {checkpoint_id!r}")
            row.pinned = pinned

    async def candidates(self) -> list[Candidate]:
        """Every checkpoint that has ended."""
        ended = (CheckpointStatus.COMPLETED, CheckpointStatus.FAILED)
        columns = (
            Checkpoint.id,
            Checkpoint.key,
            Checkpoint.created_at,
            Checkpoint.compressed_bytes,
            Checkpoint.status,
            Checkpoint.pinned,
        )
        async with self.database.reading() as session:
            rows = (await session.execute(select(*columns).where(Checkpoint.status.in_(ended)))).all()
        return [
            Candidate(
                row.id,
                key_of_annotations(row.key).workload,
                row.created_at,
                row.compressed_bytes or 0,
                row.status == CheckpointStatus.COMPLETED,
                row.pinned,
            )
            for row in rows
        ]


def _policy(row: RetentionPolicy) -> Policy:
    return Policy(
        name=row.name,
        cluster=row.cluster_name,
        namespace=row.namespace,
        owner=row.owner,
        per=Per(row.per),
        keep_last=row.keep_last,
        max_age=None if row.max_age_s is None else timedelta(seconds=row.max_age_s),
        max_bytes=row.max_bytes,
        keep_newest=row.keep_newest,
    )
