"""`ksnap restore`: start a pod from a checkpoint, and say whether it was restored or started cold."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import CheckpointId, Detach, Node
from ksnap.cli.verb import connected
from ksnap.cli.work import start_job
from ksnap.errors import RestoreFailed


class WantedEngine(StrEnum):
    AUTO = "auto"
    RUNTIME = "runtime"
    IMAGE = "image"


def register(app: typer.Typer) -> None:
    connected(app, "restore")(restore)


def restore(
    cli: Invocation,
    checkpoint: CheckpointId,
    *,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="CHECKPOINT", help="Checkpoint of another container of the pod; repeatable."),
    ] = None,
    pod: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the new pod; else generated.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace; else the checkpoint's.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", "-c", metavar="NAME", help="Cluster; else the checkpoint's.")
    ] = None,
    node: Node = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long the pod may take to be ready.")
    ] = None,
    engine: Annotated[
        WantedEngine, typer.Option("--engine", help="Restore below the container runtime, or by it.")
    ] = WantedEngine.AUTO,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Leave a pod that did not become ready for a look at it.")
    ] = False,
    detach: Detach = False,
) -> None:
    """Start a new pod from a checkpoint.

    The answer says by the runtime's own record whether it was restored; exit code 0 means that it was.
    """
    body: dict[str, Any] = {
        "pod_name": pod,
        "namespace": namespace,
        "cluster_name": cluster,
        "node_name": node,
        "timeout_s": timeout_s,
        "keep_failed": keep_failed or None,
        "engine": engine.value,
        "checkpoint_ids": [checkpoint, *also] if also else None,
    }
    job = start_job(cli, ("checkpoint", checkpoint, "restore"), body=body, detach=detach)
    if job is not None:
        _show(cli, job["result"])


def _records(result: dict[str, Any]) -> str:
    """What the runtime says of the containers that lack the proof."""
    unproven = [each for each in result.get("containers", []) if not each.get("restored")]
    return "; ".join(f"{each.get('container')}: {each.get('record')}" for each in unproven)


def _show(cli: Invocation, result: dict[str, Any]) -> None:
    fields = {"restored": "restored", "cluster": "cluster_name", "namespace": "namespace", "pod": "pod_name"}
    cli.screen.record(result, fields | {"node": "node_name", "engine": "engine"} | {"seconds": "timings"})
    columns = {"container": "container", "restored": "restored", "checkpoint": "checkpoint_id", "record": "record"}
    cli.screen.table(result.get("containers", []), columns)
    if not result.get("restored"):
        raise RestoreFailed(
            "The pod runs, but nothing proves that it was restored",
            details=f"pod {result.get('namespace')}/{result.get('pod_name')}: {_records(result)}",
            hint="It may have started cold. Look at the node: ksnap cluster status " + str(result.get("cluster_name")),
        )
