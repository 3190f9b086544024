"""`ksnap hook ...`: admission hooks, by which new pods start from their workload's checkpoint."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import Cluster, Name
from ksnap.cli.verb import connected, group
from ksnap.errors import Unavailable

app = group("SnapHooks: new pods start from their workload's checkpoint.")

_COLUMNS = {
    "name": "name", "cluster": "cluster_name", "running": "is_running", "url": "webhook_url", "wait": "wait_s",
    "certificate until": "certificate_expires_at",
}  # fmt: skip


@connected(app, "create")
def create(
    cli: Invocation,
    name: Name,
    *,
    cluster: Cluster = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="https URL for API servers; else one of the server's hook_address."),
    ] = None,
    service_namespace: Annotated[
        str, typer.Option(metavar="NAME", help="Namespace of the ksnap server's Service.")
    ] = "snap",
    certificate_days: Annotated[int, typer.Option(min=1, max=3650, metavar="N", help="Life of its certificate.")] = 365,
    wait: Annotated[
        int, typer.Option(min=0, max=25, metavar="SECONDS", help="How long a pod waits for one in the making.")
    ] = 0,
    max_age: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="Use no checkpoint that is older; 0: any age.")
    ] = 0,
    pull_with: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Image pull secret, for nodes that restore images; may be repeated."),
    ] = None,
) -> None:
    """Create a hook. `start` puts it into the cluster."""
    body = {
        "name": name,
        "cluster_name": cli.cluster_name(cluster),
        "webhook_url": url,
        "namespace": service_namespace,
        "cert_expiry_days": certificate_days,
        "wait_s": wait,
        "max_age_s": max_age,
        "image_pull_secrets": pull_with or [],
    }
    made = cli.change("POST", "snaphook", body=body)
    cli.screen.done(made, f"Created hook {name} at {made['webhook_url']}: ksnap hook start {name} installs it")


@connected(app, "list")
def list_hooks(cli: Invocation) -> None:
    """List the hooks."""
    cli.screen.rows(cli.get("snaphook", "list").get("snaphooks", []), _COLUMNS, empty="No hook")


@connected(app, "show")
def show(cli: Invocation, name: Name) -> None:
    """Show a hook."""
    cli.screen.record(cli.get("snaphook", name), {**_COLUMNS, "namespace": "namespace", "max age": "max_age_s"})


@connected(app, "start")
def start(cli: Invocation, name: Name) -> None:
    """Serve a hook, and install its configuration in the cluster."""
    cli.screen.done(cli.change("POST", "snaphook", name, "start"), f"Hook {name} is running")


@connected(app, "stop")
def stop(cli: Invocation, name: Name) -> None:
    """Remove a hook's configuration from the cluster. Pods that are running stay as they are."""
    cli.screen.done(cli.change("POST", "snaphook", name, "stop"), f"Hook {name} is stopped")


@connected(app, "delete")
def delete(cli: Invocation, name: Name) -> None:
    """Stop a hook and forget it."""
    done = cli.change("DELETE", "snaphook", name)
    cli.screen.done(done, str(done["message"]))


@connected(app, "renew")
def renew(cli: Invocation, name: Name) -> None:
    """Give a hook a new certificate now. It is renewed by itself in time."""
    done = cli.change("POST", "snaphook", name, "renew-certificates")
    cli.screen.done(done, f"Hook {name} has a certificate until {done['certificate_expires_at']}")


@connected(app, "test")
def test(cli: Invocation, name: Name) -> None:
    """Call a hook as an API server would, and compare its configuration in the cluster."""
    found = cli.get("snaphook", name, "test-connectivity")
    cli.screen.record(found["test_results"], {each: each for each in found["test_results"]})
    if not found["success"]:
        raise Unavailable("The hook is not as it should be", details=_why(found["test_results"]))


def _why(results: Mapping[str, Any]) -> str:
    differing = ", ".join(results["configuration_differences"])
    parts = [str(results["problem"]), f"configuration in the cluster: {differing}" if differing else ""]
    return "; ".join(part for part in parts if part)
