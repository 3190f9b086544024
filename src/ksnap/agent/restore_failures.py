"""The breaker: how often in a row restoring an image failed on this node. Past a limit its containers start cold.

A restore that works clears its image's count: the image is good then, and what failed was something else. The counts
are kept in `failures.json`, so that the agent's restart does not begin the series again.
"""

import asyncio
import json
from pathlib import Path

import structlog

from ksnap.agent.state_files import read_object, replace_file

log = structlog.get_logger()

# Digests that are remembered; the oldest go first. A node sees a handful.
_DIGESTS_LIMIT = 1000


class RestoreFailures:
    """Counts by digest."""

    def __init__(self, state_dir: Path, *, limit: int) -> None:
        self._path = state_dir / "failures.json"
        self._limit = limit
        self._counts: dict[str, int] = {}
        self._saving = asyncio.Lock()

    async def open(self) -> None:
        """Take over what the last agent counted; a file that a person removed counts as cleared."""
        found = await asyncio.to_thread(read_object, self._path)
        self._counts = {digest: count for digest, count in found.items() if isinstance(count, int) and count > 0}

    def count(self, digest: str) -> int:
        return self._counts.get(digest, 0)

    def too_many(self, digest: str) -> bool:
        return self.count(digest) >= self._limit

    async def add(self, digest: str) -> None:
        """One more."""
        self._counts[digest] = self._counts.pop(digest, 0) + 1
        while len(self._counts) > _DIGESTS_LIMIT:
            del self._counts[next(iter(self._counts))]
        if self.too_many(digest):
            log.warning("image_no_longer_restored", digest=digest, failures=self.count(digest))
        await self._save()

    async def clear(self, digest: str) -> None:
        """Begin to count anew; nothing counted is no error."""
        if self._counts.pop(digest, 0):
            await self._save()

    async def _save(self) -> None:
        """A disk that is full costs the count's next life, and nothing else."""
        async with self._saving:
            try:
                await asyncio.to_thread(replace_file, self._path, json.dumps(self._counts))
            except OSError as exc:
                log.warning("failures_not_saved", reason=exc.strerror)
