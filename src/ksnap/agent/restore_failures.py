"""The breaker: how often in a row restoring an image failed on this node. Past a limit its containers start cold.

A container that ends by itself soon after its restore counts as a failed restore: the kubelet would have it restored
for ever. So a restore is not good when it succeeds, but once its container has lived for a while; then it clears its
image's count, for what failed was something else. Whoever sent the container a signal before leaves the question open.

The counts are kept in `failures.json`, so that the agent's restart does not begin the series again. Which containers
have still to prove themselves is not kept: the agent's restart costs a proof, and the count stays as it was.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from ksnap.agent.state_files import read_object, replace_file

log = structlog.get_logger()

# Digests that are remembered; the oldest go first. A node sees a handful.
_DIGESTS_LIMIT = 1000


class End(StrEnum):
    """How a restored container ended."""

    CRASHED = "Crashed"
    """By itself, too soon."""
    SIGNALLED = "Signalled"
    """Too soon, but somebody had sent it a signal."""
    PROVEN = "Proven"
    """Whenever, after it had lived long enough."""


@dataclass(frozen=True, slots=True)
class _Young:
    """A restored container that has still to prove its image."""

    digest: str
    since: float


class RestoreFailures:
    """Counts by digest. A container must live for `proof_s` to prove its image."""

    def __init__(
        self, state_dir: Path, *, limit: int, proof_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = state_dir / "failures.json"
        self._limit = limit
        self._proof_s = proof_s
        self._now = now
        self._counts: dict[str, int] = {}
        self._young: dict[str, _Young] = {}
        self._saving = asyncio.Lock()

    async def open(self) -> None:
        """Take over what the last agent counted; a file that a person removed counts as cleared."""
        found = await asyncio.to_thread(read_object, self._path)
        self._counts = {digest: count for digest, count in found.items() if isinstance(count, int) and count > 0}

    @property
    def limit(self) -> int:
        return self._limit

    def count(self, digest: str) -> int:
        self._settle()
        return self._counts.get(digest, 0)

    def too_many(self, digest: str) -> bool:
        return self.count(digest) >= self._limit

    async def add(self, digest: str) -> None:
        """One more."""
        self._settle()
        self._counts[digest] = self._counts.pop(digest, 0) + 1
        while len(self._counts) > _DIGESTS_LIMIT:
            del self._counts[next(iter(self._counts))]
        if self.too_many(digest):
            log.warning("image_no_longer_restored", digest=digest, failures=self.count(digest))
        await self._save()

    def restored(self, container_id: str, digest: str) -> None:
        """A restore succeeded, and has still to prove good."""
        self._settle()
        self._young[container_id] = _Young(digest, self._now())

    async def ended(self, container_id: str, digest: str, *, lived_s: float, signalled: bool) -> End:
        """Judge the end of a restored container, and count it if it crashed."""
        self._settle()
        self._young.pop(container_id, None)
        if lived_s >= self._proof_s:
            return End.PROVEN
        if signalled:
            return End.SIGNALLED
        await self.add(digest)
        return End.CRASHED

    async def clear(self, digest: str) -> None:
        """Begin to count anew; nothing counted is no error."""
        if self._counts.pop(digest, 0):
            await self._save()

    def _settle(self) -> None:
        """Let those prove their image that have lived long enough. What it clears is saved with the next count."""
        proven_since = self._now() - self._proof_s
        for container_id, young in list(self._young.items()):
            if young.since <= proven_since:
                del self._young[container_id]
                self._counts.pop(young.digest, None)

    async def _save(self) -> None:
        """A disk that is full costs the count's next life, and nothing else."""
        async with self._saving:
            try:
                await asyncio.to_thread(replace_file, self._path, json.dumps(self._counts))
            except OSError as exc:
                log.warning("failures_not_saved", reason=exc.strerror)
