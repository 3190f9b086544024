"""Jobs in replies, and the answer of a call that did not wait for its job."""

from typing import Annotated, Any, Literal

from fastapi import Query

from ksnap.server.messages import Reply, Timestamp
from ksnap.store.tables import Job, JobEvent

Wait = Annotated[bool, Query(description="false: answer at once with the job's id; the job goes on either way")]


class JobStarted(Reply):
    """The call did not wait (`wait=false`): GET /jobs/{job_id} tells how it goes on."""

    success: Literal[True] = True
    message: str
    status: Literal["running"] = "running"
    job_id: str
    checkpoint_id: str | None


class JobFailure(Reply):
    code: str
    status: int
    message: str
    details: str
    hint: str
    output: str = ""
    """The last lines that a program of the pod's author wrote."""


class JobItem(Reply):
    """One durable piece of work."""

    id: str
    kind: Literal["checkpoint", "publish", "restore", "delete"]
    status: Literal["running", "completed", "failed", "cancelled"]
    checkpoint_id: str | None
    cluster_name: str
    namespace: str
    pod_name: str
    started_by: str
    cancel_requested: bool
    created_at: Timestamp
    ended_at: Timestamp | None
    result: dict[str, Any] | None
    error: JobFailure | None


class JobList(Reply):
    jobs: list[JobItem]


class EventItem(Reply):
    """One step of a job's progress."""

    id: int
    at: Timestamp
    task_name: str
    stage: str
    progress: float
    message: str
    bytes_done: int | None
    bytes_total: int | None
    code: str | None


class EventList(Reply):
    """What followed the event `after`; `status` is the job's."""

    job_id: str
    status: Literal["running", "completed", "failed", "cancelled"]
    events: list[EventItem]


def started(job: Job, message: str) -> JobStarted:
    return JobStarted(message=message, job_id=job.id, checkpoint_id=job.checkpoint_id)


def job_item(job: Job) -> JobItem:
    return JobItem.model_validate(job, from_attributes=True)


def event_item(event: JobEvent) -> EventItem:
    return EventItem.model_validate(event, from_attributes=True)
