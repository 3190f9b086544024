"""What the node's runtime itself recorded of a container's start: the proof that it was restored and not started cold.

Two engines restore, and each has its own record. ksnap-runc (the runtime engine) writes `<runtime records>/<id>.json`
when it has decided an annotated container's start, and removes it with the container. Where there is one it counts:
containerd believes of such a container that it was started as usual.
containerd writes `status` into a container's folder (internal/cri/store/container/status.go). `Restore` is set when the
container was made from a checkpoint image, and StartContainer then has one way only: `runc restore`. So `Restore`
together with a start time, a process and no failure is the runtime's own word that the restore happened. CRI-O keeps no
such record: there the folder is absent, and the answer is that nothing is proven.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from ksnap.errors import InvalidInput, NotFound
from ksnap.node.protocol import ContainerEvidence

_CONTAINER_ID = re.compile(r"^(?:[a-z-]+://)?(?P<id>[0-9a-f]{64})$")
_STATUS_LIMIT = 64 * 1024
_RECORD_TEXT_LIMIT = 4096
NO_RECORDS = "the node's runtime keeps no record of restores"


def bare_container_id(text: str) -> str:
    """The 64 hex digits of `containerd://<64 hex digits>`; anything else is refused, as it becomes a path."""
    found = _CONTAINER_ID.match(text)
    if found is None:
        raise InvalidInput("Not a container id", details=f"{text[:100]!r} is not 64 hex digits")
    return found["id"]


def container_evidence(containers_dir: Path, container_id: str, *, runtime_records_dir: Path) -> ContainerEvidence:
    """Read the record of one container; NotFound if a runtime that keeps them has none (any more)."""
    bare = bare_container_id(container_id)
    own = runtime_records_dir / f"{bare}.json"
    try:
        return parse_runtime_record(bare, _read_record(own), where=own)
    except FileNotFoundError:
        # Not a container that was to be restored by the runtime engine.
        pass
    except OSError as exc:
        return ContainerEvidence(
            container_id=bare, restored=False, record=f"ksnap-runc's record {own} cannot be read: {exc.strerror}"
        )
    if not containers_dir.exists():
        return ContainerEvidence(container_id=bare, restored=False, record=NO_RECORDS)
    path = containers_dir / bare / "status"
    try:
        with path.open("rb") as file:
            text = file.read(_STATUS_LIMIT)
    except OSError as exc:
        raise NotFound(
            "The runtime has no record of the container",
            details=f"container {bare}",
            hint="Ask the agent of the node on which it runs, while it exists",
        ) from exc
    return parse_status(bare, text)


def parse_runtime_record(container_id: str, text: bytes, *, where: Path) -> ContainerEvidence:
    """ksnap-runc's record of a start as evidence. One of another container, or of another version, proves nothing."""
    record = _object(text)
    its_own = record.get("version") == 1 and record.get("container_id") == container_id
    restored = its_own and record.get("restored") is True
    return ContainerEvidence(
        container_id=container_id,
        restored=restored,
        record=f"ksnap-runc's record {where}: " + json.dumps(record)[:_RECORD_TEXT_LIMIT],
    )


def parse_status(container_id: str, text: bytes) -> ContainerEvidence:
    """containerd's status file as evidence."""
    status = _object(text)
    # A failed restore sets FinishedAt and the reason, and no StartedAt (container_start.go).
    restored = status.get("Restore") is True and bool(status.get("StartedAt"))
    fields = {name: status.get(name) for name in ("Restore", "Pid", "StartedAt", "FinishedAt", "ExitCode", "Reason")}
    record = "containerd's container status: " + json.dumps({k: v for k, v in fields.items() if v is not None})
    return ContainerEvidence(container_id=container_id, restored=restored, record=record)


def _read_record(path: Path) -> bytes:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        return file.read(_STATUS_LIMIT)


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
