"""Takes away what was created for a whole that failed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import Kind
from ksnap.errors import KsnapError
from ksnap.kube.connection import Json

# Of an undoing whose request is over already.
PATIENCE_S = 30.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Created:
    """An object that was made."""

    kind: Kind
    namespace: str
    name: str
    uid: str

    @property
    def what(self) -> str:
        return self.kind.what(self.namespace, self.name)


async def undo(at: ClusterAsCaller, created: Sequence[Created]) -> list[Created]:
    """Delete these, the last one first; those that stayed. Goes on where the request itself is cancelled."""
    work = asyncio.create_task(_undo(at, created), name="undo")
    return await asyncio.shield(work)


async def _undo(at: ClusterAsCaller, created: Sequence[Created]) -> list[Created]:
    stayed = []
    for each in reversed(created):
        # The very object that was made, not one of its name that somebody made since.
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": each.uid}}
        options["propagationPolicy"] = "Background"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await at.api.delete(each.kind.path(each.namespace, each.name), body=options, what=each.what)
        except (KsnapError, TimeoutError) as error:
            _log.warning("undo_failed", object=each.what, cluster=at.cluster, error=str(error))
            stayed.append(each)
    return stayed
