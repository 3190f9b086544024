"""`ksnap checkpoint ...`: freeze a pod, look at what was frozen, take it home, turn it into an image."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import CheckpointId, Cluster, Detach, Namespace, Registry
from ksnap.cli.progress import view
from ksnap.cli.screen import Output, age, size
from ksnap.cli.verb import connected, group
from ksnap.cli.work import cancel_at, start_job
from ksnap.errors import InvalidInput

app = group("Freeze pods, and work with what was frozen.")


FIELDS = (
    "id", "status", "cluster_name", "namespace", "pod_name", "container_name", "node_name", "created_at", "created_by",
    "size", "freeze_engine", "frozen_us", "pinned", "archive_digest", "filename", "image", "image_digest", "error",
)  # fmt: skip


class FreezeEngine(StrEnum):
    """How a container is frozen."""

    AUTO = "auto"
    RUNTIME = "runtime"
    KUBELET = "kubelet"


class Status(StrEnum):
    """A checkpoint's state."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@connected(app, "create")
def create(
    cli: Invocation,
    pod: Annotated[str, typer.Argument(metavar="POD", help="Name of the running pod.", show_default=False)],
    *,
    namespace: Namespace = "default",
    cluster: Cluster = None,
    container: Annotated[
        str | None, typer.Option(metavar="NAME", help="Container; may be left out if the pod has one.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Insist on an image; and choose which, with the next three.")
    ] = False,
    registry: Registry = None,
    image: Annotated[
        str | None, typer.Option(metavar="REPOSITORY", help="With --push: repository; else a generated name.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="With --push: tag; else a generated one.")] = None,
    engine: Annotated[
        FreezeEngine, typer.Option(help="runtime: fast, for pods of the class ksnap; auto: that where it can be had.")
    ] = FreezeEngine.AUTO,
    detach: Detach = False,
) -> None:
    """Freeze one container of a running pod. It goes on running.

    What is frozen goes to the cluster's registry as an image; where it has none, to the server's store.
    """
    if not push and (registry or image or tag):
        raise InvalidInput("Without --push nothing is pushed", hint="Add --push, or omit --registry, --image, --tag")
    name = cli.cluster_name(cluster)
    body: dict[str, Any] = {"pod_name": pod, "container_name": container, "namespace": namespace, "cluster_name": name}
    body |= {"engine": engine, "push": push, "registry": registry, "image_name": image, "tag": tag}
    job = start_job(cli, ("checkpoint", "freeze"), body=body, detach=detach)
    if job is None:
        return
    record = cli.get("checkpoint", str(job["checkpoint_id"]))
    _show(cli, record)


@connected(app, "push")
def push(
    cli: Invocation,
    checkpoint: CheckpointId,
    *,
    registry: Registry = None,
    detach: Detach = False,
) -> None:
    """Turn a stored checkpoint into an image and push it."""
    record = cli.get("checkpoint", checkpoint)
    body = {
        "pod_name": record["pod_name"],
        "checkpoint_name": record["id"],
        "checkpoint_config_name": registry or "default",
    }
    job = start_job(cli, ("registry", "create_and_push_checkpoint_container"), body=body, detach=detach)
    if job is not None:
        _show(cli, cli.get("checkpoint", checkpoint))


@connected(app, "list")
def list_checkpoints(
    cli: Invocation,
    *,
    pod: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this pod.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only of this namespace.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", "-c", metavar="NAME", help="Only of this cluster.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="At most so many, newest first; 0: all.")] = 0,
) -> None:
    """List checkpoints, newest first."""
    query = {"pod_name": pod, "namespace": namespace, "cluster_name": cluster, "status": status}
    checkpoints = cli.run(cli.api.pages("checkpoint", "list", key="checkpoints", query=query, limit=limit))
    now = datetime.now(UTC)
    columns = {"id": "id", "cluster": "cluster_name", "namespace": "namespace", "pod": "pod_name"}
    columns |= {"container": "container_name", "status": "status", "size": "shown_size", "age": "age"}
    cli.screen.rows(
        checkpoints,
        columns,
        empty="No checkpoint",
        computed=lambda each: {"age": age(each.get("created_at"), now), "shown_size": _size(each)},
    )


@connected(app, "show")
def show(cli: Invocation, checkpoint: CheckpointId) -> None:
    """Show one checkpoint."""
    _show(cli, cli.get("checkpoint", checkpoint))


@connected(app, "download")
def download(
    cli: Invocation,
    checkpoint: CheckpointId,
    *,
    file: Annotated[
        Path | None, typer.Option("-o", "--file", metavar="FILE", help="Where to; - is stdout. Else its own name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Take the archive home, as the tar that checkpointctl reads. It holds the process' memory: keep it safe."""
    from ksnap.cli.download import STDOUT, destination
    from ksnap.cli.download import download as transfer

    record = cli.get("checkpoint", checkpoint)
    filename = str(record["filename"])
    # The name comes from the server: only its last part may choose where something is written here.
    path = file if file is not None else Path(Path(filename).name)
    where = ("checkpoint", "download", str(record["pod_name"]), filename)
    with destination(path, force=force) as sink, view() as shown:
        got = cli.run(transfer(cli.api, where, {"id": record["id"]}, sink=sink, view=shown))
    if not got.verified:
        cli.screen.warn("the server named no digest; the download could not be verified")
    sentence = f"Wrote {path}: {size(got.size_bytes)}, {got.digest}"
    if path == STDOUT:
        cli.screen.note(sentence)
    else:
        cli.screen.done({"file": str(path), "size_bytes": got.size_bytes, "digest": got.digest}, sentence)


@connected(app, "delete")
def delete(
    cli: Invocation,
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT...", help="Ids of the checkpoints.", show_default=False)
    ],
) -> None:
    """Delete checkpoints: image, archive and record. At the first that fails it stops."""
    deleted = []
    for each in checkpoints:
        start_job(cli, ("checkpoint", each), method="DELETE")
        deleted.append(each)
        cli.screen.note(f"Deleted checkpoint {each}")
    if cli.screen.output is Output.JSON:
        cli.screen.record({"deleted": deleted})


@connected(app, "cancel")
def cancel(cli: Invocation, checkpoint: CheckpointId) -> None:
    """Cancel the job that works on a checkpoint, and wait until what it had made is removed."""
    cancel_at(cli, ("checkpoint", checkpoint))


@connected(app, "nodes")
def nodes(cli: Invocation, checkpoint: CheckpointId, *, cluster: Cluster = None) -> None:
    """Show on which nodes a checkpoint's image lies unpacked, and where restores of it failed."""
    query = {"cluster_name": cluster}
    _show_nodes(cli, cli.run(cli.api.get("checkpoint", checkpoint, "nodes", query=query)))


@connected(app, "retry")
def retry(cli: Invocation, checkpoint: CheckpointId, *, cluster: Cluster = None) -> None:
    """Let nodes restore a checkpoint again that had failed there too often."""
    query = {"cluster_name": cluster}
    _show_nodes(cli, cli.run(cli.api.change("DELETE", "checkpoint", checkpoint, "failures", query=query)))


def _show_nodes(cli: Invocation, found: Mapping[str, Any]) -> None:
    columns = {"node": "node_name", "image": "status", "size": "shown_size", "failures": "failures"}
    columns |= {"problem": "problem"}
    rows = found["nodes"]
    cli.screen.rows(
        rows, columns, empty="No agent answers", computed=lambda each: {"shown_size": size(each["size_bytes"])}
    )


def _show(cli: Invocation, record: dict[str, Any]) -> None:
    shown = {each.removesuffix("_name").replace("_", " "): each for each in FIELDS if record.get(each)}
    cli.screen.record(record, shown)


def _size(record: Mapping[str, Any]) -> str:
    return size(record["size_bytes"]) if record.get("size_bytes") is not None else str(record.get("size") or "-")


@connected(app, "pin")
def pin(cli: Invocation, checkpoint_id: CheckpointId) -> None:
    """Keep a checkpoint, whatever the retention policies say."""
    cli.screen.done(cli.change("PUT", "checkpoint", checkpoint_id, "pin"), f"Pinned checkpoint {checkpoint_id}")


@connected(app, "unpin")
def unpin(cli: Invocation, checkpoint_id: CheckpointId) -> None:
    """Leave a checkpoint to the retention policies again."""
    cli.screen.done(cli.change("DELETE", "checkpoint", checkpoint_id, "pin"), f"Unpinned checkpoint {checkpoint_id}")
