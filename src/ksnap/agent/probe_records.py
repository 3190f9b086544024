"""Which probes may leave an archive behind: one empty file for each, whose name is the probe's container.

A probe outlives the agent's pod that asked for it, and the next pod has another name, so its own archives' names never
match. Only what is recorded here is looked for. Kubernetes' names hold no `_`, which therefore parts them.
"""

import os
import time
from pathlib import Path

from ksnap.agent.archives import Archives
from ksnap.errors import InsufficientStorage


class ProbeRecords:
    """The folder of records. All calls block."""

    def __init__(self, state_dir: Path, checkpoints_dir: Path) -> None:
        self._folder = state_dir / "probes"
        self._checkpoints = checkpoints_dir

    def add(self, archives: Archives) -> None:
        """Record a probe before it is asked for; on return the record survives a power loss."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path(archives).touch(mode=0o600)
            os.utime(self._path(archives))
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise InsufficientStorage(
                "The agent cannot note its probe",
                details=f"{self._folder}: {exc.strerror}",
                hint="Free disk on the node, or check the agent's state folder",
            ) from exc

    def remove(self, archives: Archives) -> None:
        """The probe has ended and its archive is gone."""
        self._path(archives).unlink(missing_ok=True)

    def all(self) -> list[tuple[Archives, float]]:
        """The probes that may have left an archive, and how many seconds ago each was asked for."""
        found = []
        for path in sorted(self._folder.glob("*")):
            match path.name.split("_"):
                case [namespace, pod, container]:
                    age_s = time.time() - path.stat().st_mtime
                    found.append((Archives(self._checkpoints, namespace, pod, container), age_s))
        return found

    def _path(self, archives: Archives) -> Path:
        return self._folder / f"{archives.namespace}_{archives.pod}_{archives.container}"
