"""`ksnap watch`: every step of the jobs that the caller may see, a line each, until Ctrl-C."""

import json
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.screen import Output, cell, size
from ksnap.cli.verb import connected


def register(app: typer.Typer) -> None:
    connected(app, "watch")(watch)


def watch(
    cli: Invocation,
    *,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Only this job.")] = None,
    cluster: Annotated[str | None, typer.Option("--cluster", "-c", metavar="NAME", help="Only this cluster.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.")
    ] = None,
    since: Annotated[
        int | None, typer.Option(min=0, metavar="ID", help="Begin after this event; 0 begins with the oldest.")
    ] = None,
) -> None:
    """Follow your jobs (an administrator: all jobs), a line for each step, until Ctrl-C.

    With --output json each line is a JSON object. A lost connection is made again, and no step is missed.
    """
    from ksnap.cli.feed import follow

    def show(event: dict[str, Any]) -> None:
        as_json = cli.screen.output is Output.JSON
        print(json.dumps(event, ensure_ascii=False) if as_json else _line(event), flush=True)

    query = {"job_id": job, "cluster_name": cluster, "namespace": namespace}
    cli.run(follow(cli.api, query, since=since, show=show, note=cli.screen.note))


def _line(event: dict[str, Any]) -> str:
    """One step for people: when, which job, where, what, how far."""
    progress = event.get("progress")
    parts = [
        cell(event.get("timestamp")),
        cell(event.get("job_id")),
        "/".join(cell(event.get(name)) for name in ("cluster", "namespace", "pod_name")),
        cell(event.get("task_name")),
        f"{progress:g}%" if isinstance(progress, int | float) else cell(progress),
        cell(event.get("stage")).replace("_", " "),
    ]
    if event.get("bytes_done") is not None:
        of = f" of {size(event['bytes_total'])}" if event.get("bytes_total") else ""
        parts.append(size(event["bytes_done"]) + of)
    if event.get("message"):
        parts.append(cell(event["message"]))
    return "  ".join(parts)
