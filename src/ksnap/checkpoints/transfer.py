"""An archive on its way from an agent to the blob store: counted, hashed, and refused at its end if it is not whole."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime

from ksnap.errors import CheckpointFailed, Conflict, KsnapError, Unavailable
from ksnap.kube.failures import ClusterUnreachable
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.node.client import AgentClient


class VerifiedArchive:
    """One fetch. `facts` are the agent's once the last chunk has come."""

    def __init__(self, agent: AgentClient, capture_id: str) -> None:
        self._agent = agent
        self._capture_id = capture_id
        self._facts: ArchiveFacts | None = None
        self.size_bytes = 0

    @property
    def facts(self) -> ArchiveFacts:
        if self._facts is None:
            raise KsnapError("The archive was not fetched to its end")
        return self._facts

    async def chunks(self) -> AsyncIterator[bytes]:
        """The compressed archive; raises at its end, before whoever stores it takes it for complete, if it is not."""
        hasher = hashlib.sha256()
        try:
            async for chunk in self._agent.archive(self._capture_id):
                await asyncio.to_thread(hasher.update, chunk)
                self.size_bytes += len(chunk)
                yield chunk
        except Conflict as error:
            # A fetch of ours that a kill cut short is still open at the agent's end: it will notice.
            raise Unavailable(error.message, details=error.details) from error
        self._facts = await self._checked(f"sha256:{hasher.hexdigest()}")

    async def _checked(self, digest: str) -> ArchiveFacts:
        state = await self._agent.capture(self._capture_id)
        if state.archive is None:
            # The agent sees a broken stream as we do: as an end that came too early.
            raise ClusterUnreachable("The archive came in part", details=f"{self.size_bytes} bytes, then nothing")
        if (state.archive.compressed_digest, state.archive.compressed_bytes) != (digest, self.size_bytes):
            raise CheckpointFailed(
                "The archive was changed on its way",
                details=f"sent {state.archive.compressed_bytes} bytes {state.archive.compressed_digest}, "
                f"received {self.size_bytes} bytes {digest}",
                hint="Try again; if it stays so, look for a proxy between the cluster and ksnap",
            )
        return state.archive


class Thinned:
    """Lets the first event of each stage pass, then one a while."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._stage: str | None = None
        self._at: datetime | None = None

    def takes(self, stage: str, at: datetime) -> bool:
        if stage == self._stage and self._at is not None and (at - self._at).total_seconds() < self._every_s:
            return False
        self._stage, self._at = stage, at
        return True
