"""A checkpoint's image on the nodes: where it lies unpacked, where restores of it failed, and letting them try again.

A node that fails to restore an image a few times stops trying, since each try makes a start later than a cold one. A
new checkpoint is another image, and begins anew; of the same one a person may say that its cause is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ksnap.checkpoints.agents import AgentDirectory, FoundAgent
from ksnap.checkpoints.images import location_of
from ksnap.checkpoints.records import CheckpointRecords
from ksnap.errors import Conflict, KsnapError
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.node.client import AgentClient
from ksnap.node.protocol import ImageState
from ksnap.store.database import Database

ONE_NODE_S = 10.0
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class NodeImage:
    """What one node's agent says of the image; nothing but `problem` where it does not answer."""

    node: str
    state: ImageState | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NodeImages:
    """Asks the agents of a checkpoint's cluster, or of another one that restores it."""

    database: Database
    records: CheckpointRecords
    agents: AgentDirectory

    async def of(self, checkpoint_id: str, cluster: str | None = None) -> Sequence[NodeImage]:
        """Every node with a ready agent, by name."""
        name, digest = await self._where(checkpoint_id, cluster)
        return await self._asked(name, lambda agent: agent.image(digest))

    async def let_try_again(self, by: Principal, checkpoint_id: str, cluster: str | None = None) -> Sequence[NodeImage]:
        """Forget the failed restores on every node that answers; the others are named by their `problem`."""
        async with audited(self.database, by, "restore_failures_cleared", checkpoint_id):
            name, digest = await self._where(checkpoint_id, cluster)
            return await self._asked(name, lambda agent: agent.clear_failures(digest))

    async def _where(self, checkpoint_id: str, cluster: str | None) -> tuple[str, str]:
        checkpoint = await self.records.get(checkpoint_id)
        location = location_of(checkpoint)
        if location is None or checkpoint.image_digest is None:
            raise Conflict(
                "The checkpoint has no image",
                details=f"checkpoint {checkpoint_id} is in the blob store alone",
                hint="Push it first: ksnap checkpoint push",
            )
        return cluster or checkpoint.cluster_name, checkpoint.image_digest

    async def _asked(self, cluster: str, ask: Callable[[AgentClient], Awaitable[ImageState]]) -> Sequence[NodeImage]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(agent: FoundAgent) -> NodeImage:
            try:
                async with gate, asyncio.timeout(ONE_NODE_S):
                    return NodeImage(agent.node, await ask(agent.client))
            except KsnapError as error:
                return NodeImage(agent.node, problem=f"{error.message}. {error.explanation}".rstrip(". "))
            except TimeoutError:
                return NodeImage(agent.node, problem=f"no answer within {ONE_NODE_S:g} s")

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(each)) for each in await self.agents.of_cluster(cluster)]
        return sorted((each.result() for each in asked), key=lambda each: each.node)
