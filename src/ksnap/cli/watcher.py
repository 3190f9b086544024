"""`ksnap watcher ...`: what freezes by itself, and what it did and why not."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import Name
from ksnap.cli.verb import connected, group
from ksnap.errors import InvalidInput

app = group("Watchers: they freeze labelled pods by themselves.")

_COLUMNS = {
    "name": "name", "cluster": "cluster_name", "namespace": "where", "trigger": "trigger", "status": "status",
    "checkpoints": "checkpoints_total", "deletes pods": "auto_delete_pod", "last error": "last_error",
}  # fmt: skip


class Trigger(StrEnum):
    """When a pod is frozen."""

    STARTUP_PROBE = "startupProbe"
    READY = "ready"
    ANNOTATION = "annotation"
    SCHEDULE = "schedule"
    DRAIN = "drain"


@connected(app, "create")
def create(
    cli: Invocation,
    name: Name,
    *,
    cluster: Annotated[str, typer.Option("--cluster", "-c", metavar="NAME", help="The cluster to watch.")],
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace; else all.")
    ] = None,
    trigger: Annotated[Trigger, typer.Option(help="When a pod is frozen.")] = Trigger.STARTUP_PROBE,
    keep_pods: Annotated[bool, typer.Option("--keep-pods", help="Never delete a pod once it was frozen.")] = False,
    selector: Annotated[
        list[str] | None, typer.Option("--selector", "-l", metavar="KEY=VALUE", help="Only pods with this label too.")
    ] = None,
    container: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Freeze this container, whatever the pod says.")
    ] = None,
    settle: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Only pods Ready for so long.")] = 0.0,
    schedule: Annotated[str | None, typer.Option(metavar="CRON", help="For --trigger schedule, in UTC.")] = None,
    warm_up: Annotated[
        str | None, typer.Option(metavar="PORT/PATH", help="Ask this of the pod before it is frozen.")
    ] = None,
    warm_up_requests: Annotated[int, typer.Option(min=1, metavar="N", help="How often.")] = 1,
) -> None:
    """Create a watcher and start it. It freezes pods with the label ksnap.dev/snap=true, each workload once."""
    body = {
        "name": name,
        "cluster_name": cluster,
        "scope": "cluster" if namespace is None else "namespace",
        "namespace": namespace,
        "trigger": trigger,
        "auto_delete_pod": not keep_pods,
        "selector": dict(_pair(each) for each in selector or []),
        "containers": container or [],
        "settle_s": settle,
        "schedule": schedule or "",
        "warm_up": _warm_up(warm_up, warm_up_requests),
    }
    done = cli.change("POST", "operator", "snapwatcher", body=body)
    cli.screen.done(done, f"Created watcher {name}")
    if done.get("status") == "error":
        cli.screen.warn(str(done.get("last_error", "")))


@connected(app, "list")
def list_watchers(cli: Invocation) -> None:
    """List the watchers of all clusters."""
    names = cli.get("operator", "watchers", "status").get("watchers", {})
    found = [cli.get("operator", "snapwatcher", name) for name in names]
    cli.screen.rows(found, _COLUMNS, empty="No watcher", computed=_readable)


@connected(app, "show")
def show(cli: Invocation, name: Name) -> None:
    """Show a watcher."""
    cli.screen.record(cli.get("operator", "snapwatcher", name))


@connected(app, "start")
def start(cli: Invocation, name: Name) -> None:
    """Start a watcher; it also tries again what it had given up."""
    cli.screen.done(cli.change("POST", "operator", "snapwatcher", name, "start"), f"Started watcher {name}")


@connected(app, "stop")
def stop(cli: Invocation, name: Name) -> None:
    """Stop a watcher. It stays stopped when the server is started again."""
    cli.screen.done(cli.change("POST", "operator", "snapwatcher", name, "stop"), f"Stopped watcher {name}")


@connected(app, "delete")
def delete(cli: Invocation, name: Name) -> None:
    """Stop and remove a watcher. Checkpoints stay."""
    cli.screen.done(cli.change("DELETE", "operator", "snapwatcher", name), f"Deleted watcher {name}")


@connected(app, "events")
def events(
    cli: Invocation,
    name: Name,
    *,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.")
    ] = None,
    pod: Annotated[str | None, typer.Option(metavar="NAME", help="Only pods of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many.")] = 100,
) -> None:
    """Show what a watcher did, and what it left and why; newest first."""
    query = {"namespace": namespace, "pod_name": pod, "limit": limit}
    found = cli.get("operator", "snapwatcher", name, "events", query=query).get("events", [])
    columns = {
        "at": "at", "event": "event", "namespace": "namespace", "pod": "pod_name", "container": "container_name",
        "message": "message", "job": "job_id",
    }  # fmt: skip
    cli.screen.rows(found, columns, empty="It has met no pod with the label yet")


def _readable(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"where": entry.get("namespace") if entry.get("scope") == "namespace" else "all"}


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise InvalidInput("--selector cannot be read", details=text[:80], hint="KEY=VALUE")
    return key, value


def _warm_up(text: str | None, requests: int) -> dict[str, object] | None:
    if text is None:
        return None
    port, _, path = text.partition("/")
    if not port.isdigit():
        raise InvalidInput("--warm-up cannot be read", details=text[:80], hint="PORT/PATH, such as 8080/warm")
    return {"port": int(port), "path": f"/{path}", "requests": requests}
