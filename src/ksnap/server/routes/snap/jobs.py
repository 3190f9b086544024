"""`/jobs`: the durable work of the server, its progress, and how to stop it. Ours, not the contract's."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from ksnap.checkpoints.job_log import JobFilter
from ksnap.errors import Conflict, NotFound
from ksnap.server.access import Operator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.routes.snap.job_messages import EventList, JobItem, JobList, Wait, event_item, job_item
from ksnap.server.routes.snap.names import Id
from ksnap.server.services import InServices

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=RightFirst)

Kind = Literal["checkpoint", "publish", "restore", "delete"]
Status = Literal["running", "completed", "failed", "cancelled"]
Page = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1 << 31)]


@router.get("", summary="List jobs, newest first", responses=responses())
async def list_jobs(
    who: Viewer,
    services: InServices,
    *,
    kind: Kind | None = None,
    status: Status | None = None,
    checkpoint_id: Id | None = None,
    limit: Page = 100,
    offset: Offset = 0,
) -> JobList:
    wanted = JobFilter(kind=kind, status=status, checkpoint_id=checkpoint_id, limit=limit, offset=offset)
    return JobList(jobs=[job_item(each) for each in await services.checkpoints.jobs.list(wanted)])


@router.get("/{job_id}", summary="Show one job", responses=responses(NotFound))
async def show(job_id: Id, who: Viewer, services: InServices) -> JobItem:
    return job_item(await services.checkpoints.jobs.get(job_id))


@router.get("/{job_id}/events", summary="A job's progress", responses=responses(NotFound))
async def events(
    job_id: Id,
    who: Viewer,
    services: InServices,
    after: Annotated[int, Query(ge=0, le=1 << 62, description="Only events with a larger id")] = 0,
    wait_s: Annotated[float, Query(ge=0, le=30, description="Wait so long for the next event or the end")] = 0.0,
) -> EventList:
    job, found = await services.checkpoints.next_events(job_id, after=after, wait_s=wait_s)
    status: Status = job.status  # type: ignore[assignment] # JobStatus writes nothing else
    return EventList(job_id=job.id, status=status, events=[event_item(each) for each in found])


@router.post("/{job_id}/cancel", summary="Stop a job and undo what it made", responses=responses(NotFound, Conflict))
async def cancel(job_id: Id, who: Operator, services: InServices, *, wait: Wait = True) -> JobItem:
    job = await services.checkpoints.cancel(who, job_id)
    return job_item(await services.checkpoints.engine.wait(job.id) if wait else job)
