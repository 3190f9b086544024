"""Explains a failed dump from CRIU's own log: the kubelet's answer says only that it failed.

containerd's shim copies the log to `criu-dump.log` in the task's folder (containerd-shim-runc-v2/process/init.go) and
names that path in its error; it stays until the container is gone. What it means is `ksnap.criu.diagnosis`'s affair.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from ksnap.agent.evidence import bare_container_id
from ksnap.agent.journal import JournalEntry
from ksnap.criu.diagnosis import Diagnosis, diagnose
from ksnap.errors import CheckpointFailed, InsufficientStorage, KsnapError

_TAIL_BYTES = 256 * 1024
# A file system may keep times coarser than the clock.
_CLOCK_MARGIN = timedelta(seconds=2)


def explain_dump_failure(tasks_dir: Path, entry: JournalEntry, error: KsnapError) -> KsnapError:
    """The same failure with cause, way out and the log's last lines. Errors that explain themselves stay."""
    if type(error) is not CheckpointFailed or error.hint:
        return error
    since = (entry.dump_asked_at or entry.created_at) - _CLOCK_MARGIN
    log = failed_dump_log(tasks_dir, entry.request.container_id, since=since)
    return explained(diagnose(log, error.details), error)


def explained(found: Diagnosis, error: KsnapError) -> KsnapError:
    """A diagnosis as an error; a full disk is told as such."""
    lines = "\n".join(found.tail) or error.details
    if found.cause == "The node's disk is full":
        return InsufficientStorage(found.cause, details=lines, hint=found.hint)
    hint = found.hint or "The last lines of CRIU's log say what it met"
    return CheckpointFailed(found.cause, details=lines, hint=hint)


def failed_dump_log(tasks_dir: Path, container_id: str, *, since: datetime) -> str:
    """The end of CRIU's log, if it was written after `since`; an older one tells of another dump."""
    path = tasks_dir / bare_container_id(container_id) / "criu-dump.log"
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mtime < since.timestamp():
                return ""
            file.seek(max(0, found.st_size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
