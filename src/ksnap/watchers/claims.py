"""Exactly one checkpoint for each key: who may freeze, over all watchers, replicas and servers, and over restarts.

A claim is one row for a key and an occasion. The database is the judge: its primary key, and the unique index over
what is in the making. A checkpoint of the key that anybody has made counts as done, whoever asked for it; one that was
deleted since does not, but a container that was tried is not tried again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.checkpoints.records import CheckpointStatus
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job, Watcher, WatcherAttempt, WatcherClaim

TRIES = 3
# A busy key is looked at again so often; its end is not announced to other servers.
IN_FLIGHT_LOOK = timedelta(seconds=5)


class State(StrEnum):
    MAKING = "making"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class Why(StrEnum):
    """Why a claim was not to be had."""

    EXISTS = "exists"
    TRIED = "tried"
    IN_FLIGHT = "in_flight"
    LATER = "later"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A container that a watcher would freeze."""

    key_digest: str
    occasion: str
    watcher: str
    cluster: str
    namespace: str
    pod: str
    pod_uid: str
    container: str


@dataclass(frozen=True, slots=True)
class Refused:
    why: Why
    message: str
    again_at: datetime | None = None
    """When it is worth another look; None: never."""


class Claims:
    """Takes, follows and ends them."""

    def __init__(self, database: Database, *, first_pause: timedelta) -> None:
        self._database = database
        self._first_pause = first_pause

    async def take(self, wanted: Wanted, now: datetime) -> WatcherClaim | Refused:
        """The claim, or why not."""
        try:
            async with self._database.writing() as session:
                # Read once and locked: a second look might find the row that another server has made meanwhile.
                row = await session.get(WatcherClaim, (wanted.key_digest, wanted.occasion), with_for_update=True)
                return await _refusal(session, row, wanted, now) or _claimed(session, row, wanted, now)
        except IntegrityError:  # another server was faster
            return _in_flight("another server has begun", now)

    async def begun(self, claim: WatcherClaim, job_id: str) -> None:
        """Remember the job, so that a restart finds it."""
        async with self._database.writing() as session:
            await session.execute(_this(claim).values(job_id=job_id))

    async def job_of(self, claim: WatcherClaim) -> str | None:
        """The job of a claim; also one that was begun a moment before its server died, unknown to the claim."""
        if claim.job_id is not None:
            return claim.job_id
        query = (
            select(Job.id)
            .join(Checkpoint, Checkpoint.id == Job.checkpoint_id)
            .where(
                Checkpoint.key_digest == claim.key_digest,
                Checkpoint.pod_uid == claim.pod_uid,
                Job.started_by == f"watcher:{claim.watcher_name}",
                Job.created_at >= claim.claimed_at,
            )
            .order_by(Job.created_at.desc())
            .limit(1)
        )
        async with self._database.reading() as session:
            found: str | None = await session.scalar(query)
        return found

    async def unfinished(self, watcher: str) -> Sequence[WatcherClaim]:
        """What a watcher had begun; also that of watchers which no longer run."""
        idle = select(Watcher.name).where(Watcher.wanted.is_(True))
        cluster = select(Watcher.cluster_name).where(Watcher.name == watcher).scalar_subquery()
        query = select(WatcherClaim).where(
            WatcherClaim.state == State.MAKING,
            (WatcherClaim.watcher_name == watcher)
            | ((WatcherClaim.cluster_name == cluster) & WatcherClaim.watcher_name.not_in(idle)),
        )
        async with self._database.reading() as session:
            return (await session.scalars(query)).all()

    async def done(self, claim: WatcherClaim) -> bool:
        """The checkpoint exists: counted once. False if somebody else has said so."""
        async with self._database.writing() as session:
            if not await _ended(session, claim, State.DONE):
                return False
            _remember(session, claim, "done")
            counted = update(Watcher).where(Watcher.name == claim.watcher_name)
            await session.execute(counted.values(checkpoints_total=Watcher.checkpoints_total + 1))
        return True

    async def failed(self, claim: WatcherClaim, now: datetime, *, final: bool = False) -> datetime | None:
        """When to try again; None if that was the last time."""
        attempts = claim.attempts + 1
        again = None if final or attempts >= TRIES else now + self._first_pause * 2 ** (attempts - 1)
        state = State.FAILED if again is None else State.WAITING
        async with self._database.writing() as session:
            if await _ended(session, claim, state, attempts=attempts, next_try_at=again) and again is None:
                _remember(session, claim, "failed")
        return again

    async def release(self, claim: WatcherClaim) -> None:
        """Nothing came of it and nothing is to blame: as if it had not been taken."""
        async with self._database.writing() as session:
            if claim.attempts:
                await _ended(session, claim, State.WAITING)
            else:
                await session.execute(
                    delete(WatcherClaim).where(
                        WatcherClaim.key_digest == claim.key_digest, WatcherClaim.occasion == claim.occasion,
                        WatcherClaim.state == State.MAKING,
                    )
                )  # fmt: skip

    async def first_deletion(self, claim: WatcherClaim) -> bool:
        """Whether no pod was deleted for this key before; from now on one was."""
        others = select(WatcherClaim.key_digest).where(
            WatcherClaim.key_digest == claim.key_digest, WatcherClaim.pod_deleted.is_(True)
        )
        async with self._database.writing() as session:
            if await session.scalar(others.limit(1)) is not None:
                return False
            await session.execute(_this(claim).values(pod_deleted=True))
        return True

    async def forget_failures(self, watcher: str) -> None:
        """A watcher that is started again tries again what it had given up."""
        failures = delete(WatcherClaim).where(
            WatcherClaim.watcher_name == watcher, WatcherClaim.state.in_([State.FAILED, State.WAITING])
        )
        tried = delete(WatcherAttempt).where(WatcherAttempt.watcher_name == watcher, WatcherAttempt.outcome == "failed")
        async with self._database.writing() as session:
            await session.execute(failures)
            await session.execute(tried)

    async def forget_pods(self, cluster: str, *, there: Collection[str]) -> None:
        """Drop the memory of pods that are gone."""
        query = select(WatcherAttempt.pod_uid).where(WatcherAttempt.cluster_name == cluster).distinct()
        async with self._database.writing() as session:
            gone = [each for each in await session.scalars(query) if each not in there]
            for start in range(0, len(gone), 500):
                some = gone[start : start + 500]
                await session.execute(
                    delete(WatcherAttempt).where(
                        WatcherAttempt.cluster_name == cluster, WatcherAttempt.pod_uid.in_(some)
                    )
                )


async def _refusal(session: AsyncSession, row: WatcherClaim | None, wanted: Wanted, now: datetime) -> Refused | None:
    """Why not. `row` was read before the checkpoints: whoever ends a claim has written its checkpoint's end before."""
    tried = (wanted.cluster, wanted.pod_uid, wanted.container, wanted.occasion)
    if (attempt := await session.get(WatcherAttempt, tried)) is not None:
        return Refused(Why.TRIED, f"it was tried before, and {attempt.outcome}")
    of_key = select(Checkpoint.id, Checkpoint.status, Checkpoint.created_by).where(
        Checkpoint.key_digest == wanted.key_digest,
        Checkpoint.status.in_([CheckpointStatus.COMPLETED, CheckpointStatus.RUNNING]),
    )
    found = (await session.execute(of_key)).all()
    done = next((each for each in found if each.status == CheckpointStatus.COMPLETED), None)
    if done is not None and not wanted.occasion:
        return Refused(Why.EXISTS, f"checkpoint {done.id} of its key exists, made by {done.created_by}")
    if busy := next((each for each in found if each.status == CheckpointStatus.RUNNING), None):
        return _in_flight(f"checkpoint {busy.id} of its key is being made by {busy.created_by}", now)
    return None if row is None else _refused_by(row, wanted, now)


def _refused_by(row: WatcherClaim, wanted: Wanted, now: datetime) -> Refused | None:
    match State(row.state):
        case State.MAKING:
            return _in_flight(f"watcher {row.watcher_name} freezes pod {row.namespace}/{row.pod_name} for it", now)
        case State.WAITING if row.next_try_at is not None and row.next_try_at > now:
            return Refused(Why.LATER, f"{row.attempts} tries have failed; the next is due", row.next_try_at)
        case State.FAILED:
            return Refused(Why.GIVEN_UP, f"{row.attempts} tries for its key have failed, the last with another pod")
        case State.DONE if wanted.occasion:
            return Refused(Why.EXISTS, f"pod {row.namespace}/{row.pod_name} was frozen for this occasion")
        case _:
            return None


def _claimed(session: AsyncSession, row: WatcherClaim | None, wanted: Wanted, now: datetime) -> WatcherClaim:
    if row is None:
        row = WatcherClaim(
            key_digest=wanted.key_digest, occasion=wanted.occasion, attempts=0, pod_deleted=False
        )  # fmt: skip
        session.add(row)
    elif row.state == State.DONE:
        row.attempts = 0
    row.state, row.watcher_name, row.claimed_at = State.MAKING, wanted.watcher, now
    row.cluster_name, row.namespace = wanted.cluster, wanted.namespace
    row.pod_name, row.pod_uid, row.container_name = wanted.pod, wanted.pod_uid, wanted.container
    row.job_id, row.next_try_at = None, None
    return row


async def _ended(
    session: AsyncSession,
    claim: WatcherClaim,
    state: State,
    *,
    attempts: int | None = None,
    next_try_at: datetime | None = None,
) -> bool:
    values: dict[str, Any] = {"state": state.value, "next_try_at": next_try_at}
    if attempts is not None:
        values["attempts"] = attempts
    result = await session.execute(_this(claim).where(WatcherClaim.state == State.MAKING).values(values))
    return bool(result.rowcount)  # type: ignore[attr-defined] # CursorResult, which execute's type does not say


def _this(claim: WatcherClaim):  # type: ignore[no-untyped-def] # SQLAlchemy's own type for it is private
    return update(WatcherClaim).where(
        WatcherClaim.key_digest == claim.key_digest, WatcherClaim.occasion == claim.occasion
    )


def _remember(session: AsyncSession, claim: WatcherClaim, outcome: str) -> None:
    session.add(
        WatcherAttempt(
            cluster_name=claim.cluster_name, pod_uid=claim.pod_uid, container_name=claim.container_name,
            occasion=claim.occasion, watcher_name=claim.watcher_name, outcome=outcome, at=datetime.now(UTC),
        )
    )  # fmt: skip


def _in_flight(message: str, now: datetime) -> Refused:
    return Refused(Why.IN_FLIGHT, message, now + IN_FLIGHT_LOOK)
