"""One checkpoint for each key, whoever comes first, whatever fails and whenever the server starts anew."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint, Job, Watcher, WatcherClaim
from ksnap.watchers.claims import TRIES, Claims, Refused, Wanted, Why
from ksnap.watchers.records import WatcherRecords

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
PAUSE = timedelta(seconds=10)
KEY = "a" * 64


def wanted(pod: str = "web-0", *, key: str = KEY, occasion: str = "", watcher: str = "one") -> Wanted:
    return Wanted(key, occasion, watcher, "prod", "shop", pod, f"uid-{pod}", "web")


async def taken(claims: Claims, what: Wanted, now: datetime = NOW) -> WatcherClaim:
    found = await claims.take(what, now)
    assert isinstance(found, WatcherClaim), found
    return found


async def refused(claims: Claims, what: Wanted, now: datetime = NOW) -> Refused:
    found = await claims.take(what, now)
    assert isinstance(found, Refused), found.pod_name
    return found


def checkpoint(number: int = 1, **different: Any) -> Checkpoint:
    told: dict[str, Any] = {
        "id": f"{number:020x}", "cluster_name": "prod", "namespace": "shop", "pod_name": "web-0",
        "pod_uid": "uid-web-0", "container_name": "web", "container_id": "c", "node_name": "n",
        "status": "completed", "filename": "f.tar", "key": {}, "key_digest": KEY, "pod_encrypted": b"",
        "created_at": NOW, "created_by": "ann", "archive_annotations": {},
    }  # fmt: skip
    return Checkpoint(**told | different)


def job(number: int = 1, *, by: str = "watcher:one") -> Job:
    return Job(
        id=f"job{number}", kind="checkpoint", status="running", checkpoint_id=f"{number:020x}", cluster_name="prod",
        namespace="shop", pod_name="web-0", started_by=by, request={}, cancel_requested=False,
        created_at=NOW + timedelta(seconds=1),
    )  # fmt: skip


async def add(database: Database, *rows: Any) -> None:
    async with database.writing() as session:
        session.add_all(rows)


async def test_a_hundred_at_once_make_one(database: Database, records: WatcherRecords) -> None:
    servers = [Claims(database, first_pause=PAUSE) for _ in range(4)]
    pods = [wanted(f"web-{n}", watcher=("one", "two")[n % 2]) for n in range(100)]
    found = await asyncio.gather(*(servers[n % 4].take(each, NOW) for n, each in enumerate(pods)))
    assert sum(isinstance(each, WatcherClaim) for each in found) == 1
    assert {each.why for each in found if isinstance(each, Refused)} == {Why.IN_FLIGHT}


async def test_what_is_done_is_counted_once(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    claim = await taken(claims, wanted())
    await add(database, checkpoint())
    assert await claims.done(claim)
    assert not await claims.done(claim), "another server may have waited for the same job"
    assert (await records.get("one")).checkpoints_total == 1
    assert (await refused(claims, wanted("web-1"))).why is Why.EXISTS
    assert (await refused(claims, wanted())).why is Why.TRIED


async def test_anybodys_checkpoint_counts(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await add(database, checkpoint())
    found = await refused(claims, wanted())
    assert (found.why, found.again_at) == (Why.EXISTS, None)
    assert "ann" in found.message


async def test_one_in_the_making_is_waited_for(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await add(database, checkpoint(status="running"))
    found = await refused(claims, wanted("web-1"))
    assert found.why is Why.IN_FLIGHT
    assert found.again_at is not None
    assert found.again_at > NOW


async def test_failures_back_off_and_stop(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    now = NOW
    for number in range(1, TRIES):
        again = await claims.failed(await taken(claims, wanted(), now), now)
        assert again == now + PAUSE * 2 ** (number - 1)
        early = await refused(claims, wanted("web-1"), again - timedelta(seconds=1))
        assert (early.why, early.again_at) == (Why.LATER, again)
        now = again
    assert await claims.failed(await taken(claims, wanted(), now), now) is None
    later = now + timedelta(days=9)
    assert (await refused(claims, wanted("web-1"), later)).why is Why.GIVEN_UP
    assert (await refused(claims, wanted(), later)).why is Why.TRIED
    await claims.forget_failures("two")
    assert (await refused(claims, wanted("web-1"), later)).why is Why.GIVEN_UP
    await claims.forget_failures("one")
    await taken(claims, wanted(), later)


async def test_a_cancelled_job_is_not_begun_again(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    assert await claims.failed(await taken(claims, wanted()), NOW, final=True) is None
    assert (await refused(claims, wanted("web-1"))).why is Why.GIVEN_UP


async def test_what_was_released_can_be_taken_at_once(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await claims.release(await taken(claims, wanted()))
    claim = await taken(claims, wanted("web-1"))
    assert claim.attempts == 0
    again = await claims.failed(claim, NOW)
    assert again is not None
    await claims.release(await taken(claims, wanted(), again))
    assert (await taken(claims, wanted(), again)).attempts == 1, "a failure is not forgotten by it"


async def test_a_deleted_checkpoint_is_made_again_for_a_new_pod_alone(
    database: Database, records: WatcherRecords
) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await claims.done(await taken(claims, wanted()))
    assert (await refused(claims, wanted())).why is Why.TRIED
    await taken(claims, wanted("web-1"))
    await claims.forget_pods("prod", there={"uid-web-1"})
    await claims.forget_pods("other", there=())
    async with database.reading() as session:
        claim = await session.get_one(WatcherClaim, (KEY, ""))
        assert claim.pod_name == "web-1"


async def test_each_occasion_has_its_own(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await add(database, checkpoint())
    first = await taken(claims, wanted(occasion="schedule/1"))
    assert (await refused(claims, wanted("web-1", occasion="schedule/2"))).why is Why.IN_FLIGHT
    await claims.done(first)
    assert (await refused(claims, wanted("web-1", occasion="schedule/1"))).why is Why.EXISTS
    await taken(claims, wanted("web-1", occasion="schedule/2"))


async def test_a_restart_finds_the_job_that_was_begun(database: Database, records: WatcherRecords) -> None:
    """Killed between the job's beginning and the note of it in the claim."""
    claims = Claims(database, first_pause=PAUSE)
    claim = await taken(claims, wanted())
    assert [each.key_digest for each in await claims.unfinished("one")] == [KEY]
    assert await claims.unfinished("two") == [], "its watcher runs and sees to it"
    assert await claims.job_of(claim) is None
    await add(database, checkpoint(1, status="running"), job(1))
    assert await claims.job_of(claim) == "job1"
    await claims.begun(claim, "job1")
    [again] = await claims.unfinished("one")
    assert again.job_id == "job1"


async def test_another_watchers_or_an_earlier_job_is_not_taken_for_it(
    database: Database, records: WatcherRecords
) -> None:
    claims = Claims(database, first_pause=PAUSE)
    early = job(1)
    early.created_at = NOW - timedelta(seconds=1)
    claim = await taken(claims, wanted())
    await add(database, checkpoint(1, status="failed"), early, checkpoint(2, status="failed"), job(2, by="ann"))
    assert await claims.job_of(claim) is None


async def test_a_stopped_watchers_claims_are_seen_to_by_another(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    await taken(claims, wanted())
    await records.wish("one", running=False)
    assert len(await claims.unfinished("two")) == 1


async def test_a_pod_is_deleted_once_for_a_key(database: Database, records: WatcherRecords) -> None:
    claims = Claims(database, first_pause=PAUSE)
    claim = await taken(claims, wanted())
    assert await claims.first_deletion(claim)
    assert not await claims.first_deletion(claim)
    await claims.done(claim)
    other = await taken(claims, wanted("web-1", occasion="annotation/x"))
    assert not await claims.first_deletion(other)


async def test_its_row_says_whether_a_watcher_is_wished_for(database: Database, records: WatcherRecords) -> None:
    assert not await records.wish("one", running=True)
    assert await records.wish("one", running=False)
    async with database.reading() as session:
        row = await session.get_one(Watcher, "one")
    assert not row.wanted
