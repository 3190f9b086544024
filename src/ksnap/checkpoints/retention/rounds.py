"""Rounds of retention: what the rules say goes is deleted by durable jobs, and a report stays of what went and why.

A round is due at fixed times of the clock; of several servers the one whose row is first does it. Its deletions go one
after another: they are never urgent, and a registry has better things to do.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from ksnap.checkpoints.retention.policies import Policies
from ksnap.checkpoints.retention.rules import Doomed, doomed
from ksnap.checkpoints.service import Checkpoints
from ksnap.errors import Conflict, KsnapError, NotFound
from ksnap.identity.principal import Principal, Role
from ksnap.model.checkpoint_key import Workload
from ksnap.store.database import Database
from ksnap.store.tables import RetentionRound

# A colon, as no user's name has: readers of progress see the jobs as nobody's.
STARTED_BY = "retention:policies"
REPORTS_KEPT = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deletion:
    """One line of a report."""

    checkpoint_id: str
    workload: Workload
    created_at: datetime
    size_bytes: int
    policy: str
    reason: str
    outcome: str
    """planned (a dry run), deleted, in_use, gone, or failed."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """The rounds of one installation."""

    database: Database
    policies: Policies
    checkpoints: Checkpoints
    _running: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def plan(self) -> list[Deletion]:
        """What a round would delete now; nothing is done."""
        return [_line(each, "planned") for each in await self._doomed()]

    async def begin(self, by: Principal) -> RetentionRound:
        """Begin a round that somebody asks for; it goes on by itself, and `get` tells how far it is."""
        claimed = await self._claim(-time.time_ns(), by.username)
        if claimed is None:
            raise Conflict("Another round begins at this very moment", hint="Try again")
        task = asyncio.create_task(self._asked_for(claimed, by), name=f"retention round {claimed.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return claimed

    async def get(self, round_id: int) -> RetentionRound:
        """One round's report as it is now."""
        async with self.database.reading() as session:
            found = await session.get(RetentionRound, round_id)
        if found is None:
            raise NotFound("Round not found", details=f"no round {round_id}")
        return found

    async def close(self) -> None:
        """End what runs here: a deletion that was begun is a job, and goes on; the rest is for the next round."""
        running = list(self._running)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _asked_for(self, claimed: RetentionRound, by: Principal) -> None:
        try:
            await self._round(claimed, by)
        except Exception:  # the report stays as far as it came
            log.exception("retention_round_broke")

    async def keep_rounds(self, interval_s: float) -> None:
        """The task: a round at each full interval of the clock, by one of the servers."""
        while True:
            await asyncio.sleep(interval_s - time.time() % interval_s)
            try:
                await self.run_due(int(time.time() // interval_s))
            except KsnapError as error:
                log.warning("retention_round_failed", error=error.message, details=error.details)
            except Exception:  # the next round may do better
                log.exception("retention_round_broke")

    async def run_due(self, slot: int) -> RetentionRound | None:
        """The round of a time slot, unless another server does it or nothing is to be done."""
        if not await self._doomed():
            return None
        claimed = await self._claim(slot, STARTED_BY)
        return None if claimed is None else await self._round(claimed, Principal(STARTED_BY, Role.ADMINISTRATOR))

    async def reports(self, limit: int) -> Sequence[RetentionRound]:
        """The last rounds, newest first."""
        query = select(RetentionRound).order_by(RetentionRound.id.desc()).limit(limit)
        async with self.database.reading() as session:
            return (await session.scalars(query)).all()

    async def _doomed(self) -> list[Doomed]:
        policies = await self.policies.all()
        if not policies:
            return []
        candidates = await self.policies.candidates()
        return await asyncio.to_thread(doomed, policies, candidates, datetime.now(UTC))

    async def _claim(self, slot: int, by: str) -> RetentionRound | None:
        row = RetentionRound(slot=slot, started_by=by, started_at=datetime.now(UTC), deletions=[])
        try:
            async with self.database.writing() as session:
                session.add(row)
        except IntegrityError:
            return None
        return row

    async def _round(self, row: RetentionRound, by: Principal) -> RetentionRound:
        lines: list[Deletion] = []
        for each in await self._doomed():
            lines.append(await self._delete(by, each))
            row = await self._report(row.id, lines, is_over=False)
        row = await self._report(row.id, lines, is_over=True)
        await self._forget_old()
        freed = sum(each.size_bytes for each in lines if each.outcome == "deleted")
        log.info("retention_round_ended", checkpoints=len(lines), freed_bytes=freed, started_by=by.username)
        return row

    async def _delete(self, by: Principal, doom: Doomed) -> Deletion:
        try:
            job = await self.checkpoints.delete(by, doom.candidate.id)
            if job is not None:
                await self.checkpoints.ended(job)
        except NotFound:
            return _line(doom, "gone")
        except Conflict as error:
            return _line(doom, "in_use", error.explanation)
        except KsnapError as error:
            log.warning("retention_deletion_failed", checkpoint_id=doom.candidate.id, error=error.message)
            return _line(doom, "failed", f"{error.message}: {error.explanation}")
        return _line(doom, "deleted")

    async def _report(self, round_id: int, lines: Sequence[Deletion], *, is_over: bool) -> RetentionRound:
        async with self.database.writing() as session:
            row = await session.get_one(RetentionRound, round_id)
            row.deletions = [_stored(each) for each in lines]
            if is_over:
                row.ended_at = datetime.now(UTC)
        return row

    async def _forget_old(self) -> None:
        kept = select(RetentionRound.id).order_by(RetentionRound.id.desc()).limit(REPORTS_KEPT)
        async with self.database.writing() as session:
            ids = (await session.scalars(kept)).all()
            if len(ids) == REPORTS_KEPT:
                await session.execute(delete(RetentionRound).where(RetentionRound.id < ids[-1]))


def _line(doom: Doomed, outcome: str, error: str = "") -> Deletion:
    found = doom.candidate
    return Deletion(
        found.id, found.workload, found.created_at, found.size_bytes, doom.policy, doom.reason.value, outcome, error
    )


def _stored(line: Deletion) -> dict[str, Any]:
    workload = line.workload
    return {
        "checkpoint_id": line.checkpoint_id,
        "cluster_name": workload.cluster,
        "namespace": workload.namespace,
        "owner": workload.owner,
        "container_name": workload.container,
        "created_at": line.created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "size_bytes": line.size_bytes,
        "policy": line.policy,
        "reason": line.reason,
        "outcome": line.outcome,
        "error": line.error,
    }


def report_lines(lines: Sequence[Deletion]) -> list[dict[str, Any]]:
    """As a report has them."""
    return [_stored(each) for each in lines]
