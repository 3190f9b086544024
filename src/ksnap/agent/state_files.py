"""Small files that outlive the agent's process: replaced as a whole, so that a reader finds the old or the new one.

All calls here block; callers use a thread, or know why not.
"""

import json
import os
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()


def replace_file(path: Path, text: str, *, durable: bool = True) -> None:
    """Write aside, then rename. `durable`: also after a power loss the old or the new one is found, whole.

    Without it the file is as good after a kill of the agent, which is enough for what a node's restart makes void.
    """
    aside = path.with_name(f".{path.stem}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none. One that cannot be read is told and taken for empty."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as exc:
        log.warning("state_file_unreadable", path=str(path), reason=type(exc).__name__)
        return {}
    return found if isinstance(found, dict) else {}
