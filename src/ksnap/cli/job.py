"""`ksnap job ...`: the durable work of the server. A job goes on when the command line that started it is gone."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import JobId
from ksnap.cli.progress import view
from ksnap.cli.screen import age
from ksnap.cli.verb import connected, group
from ksnap.cli.work import cancel_at

app = group("The server's work: checkpoints, pushes, restores.")


class Kind(StrEnum):
    """What a job does."""

    CHECKPOINT = "checkpoint"
    PUBLISH = "publish"
    RESTORE = "restore"
    DELETE = "delete"


class Status(StrEnum):
    """How far a job is."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@connected(app, "list")
def list_jobs(
    cli: Invocation,
    *,
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="At most so many, newest first; 0: all.")] = 50,
) -> None:
    """List jobs, newest first."""
    jobs = cli.run(cli.api.pages("jobs", key="jobs", query={"kind": kind, "status": status}, limit=limit))
    now = datetime.now(UTC)
    columns = {"id": "id", "kind": "kind", "status": "status", "cluster": "cluster_name", "namespace": "namespace"}
    columns |= {"pod": "pod_name", "checkpoint": "checkpoint_id", "by": "started_by", "age": "age"}
    cli.screen.rows(jobs, columns, empty="No job", computed=lambda each: {"age": age(each.get("created_at"), now)})


@connected(app, "show")
def show(cli: Invocation, job: JobId) -> None:
    """Show one job, with its result or error."""
    cli.screen.record(cli.get("jobs", job))


@connected(app, "watch")
def watch(cli: Invocation, job: JobId) -> None:
    """Follow a job to its end. Ctrl-C leaves it running."""
    from ksnap.cli.follow import outcome, watch_job

    with view() as shown:
        ended: dict[str, Any] = cli.run(watch_job(cli.api, job, shown))
    cli.screen.record(outcome(ended))


@connected(app, "cancel")
def cancel(cli: Invocation, job: JobId) -> None:
    """Cancel a job, and wait until what it had made is removed."""
    cancel_at(cli, ("jobs", job))
