"""`/retention/*` and `/checkpoint/{id}/pin`, all ours: which checkpoints are kept, and what went and why."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints

from ksnap.checkpoints.retention.garbage import Garbage
from ksnap.checkpoints.retention.rounds import report_lines
from ksnap.checkpoints.retention.rules import Per, Policy
from ksnap.errors import Conflict, NotFound
from ksnap.server.access import Administrator, Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, ObjectName, Reply, Request, Timestamp
from ksnap.server.routes.snap.names import ClusterName, Id, Namespace
from ksnap.server.services import InServices
from ksnap.store.tables import RetentionRound

router = APIRouter(tags=["retention"], route_class=RightFirst)

Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9.]*/[a-z0-9][a-z0-9.-]*$", max_length=400)]
PerWord = Literal["workload", "namespace", "cluster"]
OutcomeWord = Literal["planned", "deleted", "in_use", "gone", "failed"]


class WantedPolicy(Request):
    """At least one bound; what is left out of the scope is everywhere."""

    cluster_name: ClusterName | None = None
    namespace: Namespace | None = None
    owner: Owner | None = None
    """`Kind/name`, as `show` gives it."""
    per: PerWord = "workload"
    keep_last: int | None = Field(default=None, ge=0, le=1_000_000)
    max_age_s: int | None = Field(default=None, ge=60, le=10**10)
    max_bytes: int | None = Field(default=None, ge=0, le=1 << 60)
    keep_newest: bool = True


class PolicyItem(Reply):
    name: str
    cluster_name: str
    namespace: str
    owner: str
    per: PerWord
    keep_last: int | None
    max_age_s: int | None
    max_bytes: int | None
    keep_newest: bool


class PolicyList(Reply):
    policies: list[PolicyItem]


class DeletionItem(Reply):
    checkpoint_id: str
    cluster_name: str
    namespace: str
    owner: str
    container_name: str
    created_at: str
    size_bytes: int
    policy: str
    reason: Literal["count", "age", "size"]
    outcome: OutcomeWord
    error: str


class Round(Reply):
    """What a round deleted, or would."""

    id: int | None
    """None for a dry run."""
    started_by: str
    started_at: Timestamp | None
    ended_at: Timestamp | None
    """None while it goes on; or the server was stopped in the middle of it: a later round goes on."""
    deletions: list[DeletionItem]


class RoundList(Reply):
    rounds: list[Round]


class GarbageItem(Reply):
    kind: Literal["blob", "image"]
    name: str
    size_bytes: int | None
    made_at: Timestamp | None


class GarbageList(Reply):
    garbage: list[GarbageItem]
    problems: list[str]
    """Where could not be looked, or what could not be removed, and why."""


@router.get("/retention/policies", summary="List the retention policies", responses=responses())
async def policies(who: Viewer, services: InServices) -> PolicyList:
    return PolicyList(policies=[_item(each) for each in await services.retention.policies.all()])


@router.put("/retention/policies/{name}", summary="Set a retention policy", responses=responses())
async def put(name: ObjectName, body: WantedPolicy, who: Administrator, services: InServices) -> Changed:
    """It takes the place of one of that name. Rounds apply all policies, in the order of their names."""
    age = None if body.max_age_s is None else timedelta(seconds=body.max_age_s)
    policy = Policy(
        name=name,
        cluster=body.cluster_name or "",
        namespace=body.namespace or "",
        owner=body.owner or "",
        per=Per(body.per),
        keep_last=body.keep_last,
        max_age=age,
        max_bytes=body.max_bytes,
        keep_newest=body.keep_newest,
    )
    await services.retention.policies.put(who, policy)
    return Changed(message=f"Retention policy {name} is set")


@router.delete("/retention/policies/{name}", summary="Delete a retention policy", responses=responses(NotFound))
async def delete(name: ObjectName, who: Administrator, services: InServices) -> Changed:
    await services.retention.policies.delete(who, name)
    return Changed(message=f"Retention policy {name} is deleted")


@router.put("/checkpoint/{checkpoint_id:id}/pin", summary="Keep a checkpoint", responses=responses(NotFound))
async def pin(checkpoint_id: Id, who: Operator, services: InServices) -> Changed:
    """Whatever the policies say. It can still be deleted by hand."""
    await services.retention.policies.pin(who, checkpoint_id, pinned=True)
    return Changed(message=f"Checkpoint {checkpoint_id} is pinned")


@router.delete("/checkpoint/{checkpoint_id:id}/pin", summary="Let policies have it", responses=responses(NotFound))
async def unpin(checkpoint_id: Id, who: Operator, services: InServices) -> Changed:
    await services.retention.policies.pin(who, checkpoint_id, pinned=False)
    return Changed(message=f"Checkpoint {checkpoint_id} is not pinned")


@router.post("/retention/run", summary="Begin a round of retention now", responses=responses(Conflict))
async def run(
    who: Administrator,
    services: InServices,
    *,
    dry_run: Annotated[bool, Query(description="Say what would go, and do nothing")] = False,
) -> Round:
    """It goes on by itself: `/retention/rounds/{id}` tells how far it is."""
    if dry_run:
        lines = report_lines(await services.retention.plan())
        return Round(id=None, started_by=who.username, started_at=None, ended_at=None, deletions=_deletions(lines))
    return _round(await services.retention.begin(who))


@router.get("/retention/rounds/{round_id}", summary="What one round deleted, and why", responses=responses(NotFound))
async def one_round(round_id: Annotated[int, Path(ge=1, le=1 << 62)], who: Viewer, services: InServices) -> Round:
    return _round(await services.retention.get(round_id))


@router.get("/retention/rounds", summary="What rounds of retention deleted, and why", responses=responses())
async def rounds(who: Viewer, services: InServices, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> RoundList:
    return RoundList(rounds=[_round(each) for each in await services.retention.reports(limit)])


@router.get("/retention/garbage", summary="Look for what no checkpoint names any more", responses=responses())
async def garbage(who: Administrator, services: InServices) -> GarbageList:
    """In the blob store, and in every repository that this installation pushed to. What is younger than a day, or not
    signed by this installation, is none."""
    found = await services.garbage.find()
    return GarbageList(garbage=_garbage(found.garbage), problems=found.problems)


@router.delete("/retention/garbage", summary="Remove what no checkpoint names any more", responses=responses())
async def remove_garbage(who: Administrator, services: InServices) -> GarbageList:
    """Looks anew, and says what it removed. After a database was put back to an earlier day, look at the list first."""
    done = await services.garbage.remove(who)
    return GarbageList(garbage=_garbage(done.removed), problems=done.problems)


def _item(policy: Policy) -> PolicyItem:
    return PolicyItem(
        name=policy.name,
        cluster_name=policy.cluster,
        namespace=policy.namespace,
        owner=policy.owner,
        per=policy.per.value,
        keep_last=policy.keep_last,
        max_age_s=None if policy.max_age is None else int(policy.max_age.total_seconds()),
        max_bytes=policy.max_bytes,
        keep_newest=policy.keep_newest,
    )


def _round(row: RetentionRound) -> Round:
    return Round(
        id=row.id,
        started_by=row.started_by,
        started_at=row.started_at,
        ended_at=row.ended_at,
        deletions=_deletions(row.deletions),
    )


def _deletions(lines: Iterable[dict[str, Any]]) -> list[DeletionItem]:
    return [DeletionItem.model_validate(each) for each in lines]


def _garbage(found: Iterable[Garbage]) -> list[GarbageItem]:
    return [
        GarbageItem(kind=each.kind, name=each.name, size_bytes=each.size_bytes, made_at=each.made_at) for each in found
    ]
