"""Verbs about jobs share this: start one and show its progress until it ends, leave it (`--detach`), or cancel it."""

from collections.abc import Mapping
from typing import Any

from ksnap.cli.invocation import Invocation
from ksnap.cli.progress import view


def start_job(
    cli: Invocation,
    path: tuple[str, ...],
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    method: str = "POST",
    detach: bool = False,
) -> dict[str, Any] | None:
    """The ended job's record; None where it was left to itself, after its ids were shown."""
    sent = None if body is None else {name: value for name, value in body.items() if value is not None}

    async def start() -> dict[str, Any]:
        return await cli.api.change(method, *path, body=sent, query={**(query or {}), "wait": "false"})

    if detach:
        started = cli.run(start())
        job_id = started["job_id"]
        cli.screen.done(started, f"Started job {job_id}; follow it with: ksnap job watch {job_id}")
        return None
    from ksnap.cli.follow import run_job

    with view() as shown:
        return cli.run(run_job(cli.api, start, shown))


def cancel_at(cli: Invocation, path: tuple[str, ...]) -> None:
    """Cancel the job at a path of the API and wait until it has undone what it made."""
    from ksnap.cli.follow import cancel_job, job_error

    with view() as shown:
        job = cli.run(cancel_job(cli.api, path, shown))
    cli.screen.done(job, f"Cancelled: {job_error(job).details}")
