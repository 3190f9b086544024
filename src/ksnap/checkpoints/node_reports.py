"""The agents' reports: pulled through the pod proxy when they are old, or pushed by agents that can reach the server.

The last report of each node is kept in the store, and reads answer from there; a pull is shared by all who wait for
it, and goes on when they do not, so that a slow cluster makes an answer older and never late. A restore asks for more:
its pod goes to a node whose agent answers now, since only that agent can prove what became of it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from ksnap.checkpoints.agents import AgentDirectory, AgentMissing, FoundAgent
from ksnap.checkpoints.node_status import ClusterState, cluster_state, reported_at
from ksnap.checkpoints.restore_nodes import answering
from ksnap.checkpoints.shared_runs import SharedRuns
from ksnap.errors import ClusterNotFound, Conflict, KsnapError
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.nodes import get_node, list_nodes
from ksnap.node.protocol import NodeReport
from ksnap.store.database import Database
from ksnap.store.tables import Cluster, NodeStatus

# A page that is looked at asks every few seconds; nodes change seldom.
REUSE_S = 15.0
# How long a status may wait for a pull before it answers with what it has.
PULL_WAIT_S = 3.0
ONE_REPORT_S = 10.0
AT_ONCE = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pulled:
    """The last pull of a cluster: when, which agents answered, its nodes, and which of them must have one."""

    at: float
    answered: frozenset[str]
    nodes: frozenset[str]
    schedulable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a cluster's nodes, and whether it is of now."""

    reports: Sequence[NodeReport]
    pulled: Pulled | None
    """The last pull there was; an earlier one if `problem` says something."""
    problem: str = ""
    """Why the agents could not be asked now."""


class NodeReports:
    """Reports of all clusters."""

    def __init__(self, database: Database, agents: AgentDirectory, connections: ClusterConnections) -> None:
        self._database = database
        self._agents = agents
        self._connections = connections
        self._pulled: dict[str, Pulled] = {}
        self._pulls = SharedRuns()

    async def aclose(self) -> None:
        """End the pulls under way."""
        await self._pulls.aclose()

    async def state(self, cluster: str) -> ClusterState:
        """The cluster's state, of reports that are at most a few seconds old where its agents answer."""
        look = await self.look(cluster)
        schedulable = look.pulled.schedulable if look.pulled else None
        return cluster_state(look.reports, datetime.now(UTC), schedulable=schedulable)

    async def look(self, cluster: str, *, wait_s: float = PULL_WAIT_S) -> Look:
        """The reports, and what their pull came to; a cluster that does not answer makes it no error."""
        problem = ""
        try:
            async with asyncio.timeout(wait_s):
                await self._refresh(cluster)
        except TimeoutError:
            problem = f"no answer within {wait_s:g} s"
            log.info("node_reports_late", cluster=cluster)
        except ClusterNotFound:
            raise
        except KsnapError as error:
            problem = f"{error.message}. {error.explanation}"
            log.info("node_reports_not_pulled", cluster=cluster, error=error.message, details=error.details)
        return Look(await self.stored(cluster), self._pulled.get(cluster), problem)

    async def fresh(self, cluster: str) -> Sequence[NodeReport]:
        """The reports by which a restore's node is chosen; KsnapError if the cluster does not answer."""
        await self._refresh(cluster)
        # One that went since the pull is no longer among the agents.
        there = {each.node for each in await self._agents.of_cluster(cluster)}
        return answering(await self.stored(cluster), there & self._pulled[cluster].answered)

    async def of_node(self, cluster: str, node: str) -> NodeReport:
        """One node's report, asked of its agent now; AgentMissing if there is none."""
        agent = await self._agents.on_node(cluster, node)
        report = await agent.node_report()
        await self.keep(cluster, report)
        return report

    async def for_restore(self, cluster: str, node: str | None) -> Sequence[NodeReport]:
        """The reports to choose a restore's node from: that of the wanted node, else all."""
        if node is None:
            return await self.fresh(cluster)
        try:
            return [await self.of_node(cluster, node)]
        except AgentMissing as error:
            await get_node(await self._connections.get(cluster), node)
            raise Conflict(error.message, details=error.details, hint=error.hint) from error

    async def stored(self, cluster: str) -> Sequence[NodeReport]:
        query = select(NodeStatus).where(NodeStatus.cluster_name == cluster).order_by(NodeStatus.node_name)
        async with self._database.reading() as session:
            return [NodeReport.model_validate(each.report) for each in await session.scalars(query)]

    async def all_stored(self) -> Sequence[tuple[str, NodeReport]]:
        """Every cluster's reports, for the statistics."""
        async with self._database.reading() as session:
            rows = await session.scalars(select(NodeStatus))
            return [(each.cluster_name, NodeReport.model_validate(each.report)) for each in rows]

    async def keep(self, cluster: str, report: NodeReport) -> NodeReport:
        """Write a report down in place of the node's former one; its time is ours if its clock is off."""
        now = datetime.now(UTC)
        kept = report.model_copy(update={"timestamp": reported_at(report.timestamp, now)})
        try:
            await self._write(cluster, kept, now)
        except IntegrityError:  # another server was faster: with the node's first report, or in deleting the cluster
            await self._write(cluster, kept, now)
        return kept

    async def _write(self, cluster: str, kept: NodeReport, now: datetime) -> None:
        async with self._database.writing() as session:
            if await session.get(Cluster, cluster) is None:
                raise ClusterNotFound("Cluster not found", details=f"no cluster named {cluster[:100]!r}")
            row = await session.get(NodeStatus, (cluster, kept.node_name))
            if row is None:
                row = NodeStatus(cluster_name=cluster, node_name=kept.node_name)
                session.add(row)
            row.reported_at, row.report = kept.timestamp, kept.model_dump(mode="json")
            await session.execute(update(Cluster).where(Cluster.name == cluster).values(last_reached_at=now))

    async def _refresh(self, cluster: str) -> None:
        """Have a pull of the last few seconds, or wait for one; of an end of the wait the pull knows nothing."""
        pulled = self._pulled.get(cluster)
        if pulled is None or time.monotonic() - pulled.at > REUSE_S:
            await self._pulls.join(cluster, lambda: self._pull(cluster))

    async def _pull(self, cluster: str) -> None:
        connection = await self._connections.get(cluster)
        nodes = await list_nodes(connection)
        agents = await self._agents.of_cluster(cluster)
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            pulls = {each.node: group.create_task(self._pull_one(cluster, each, gate)) for each in agents}
        names = frozenset(each["metadata"]["name"] for each in nodes)
        await self._forget_others(cluster, sorted(names))
        schedulable = frozenset(each["metadata"]["name"] for each in nodes if not each["spec"].get("unschedulable"))
        answered = frozenset(node for node, pull in pulls.items() if pull.result())
        # An agent that did not answer is asked again by the next who wants to know.
        at = time.monotonic() if len(answered) == len(pulls) else float("-inf")
        self._pulled[cluster] = Pulled(at, answered, names, schedulable)

    async def _pull_one(self, cluster: str, agent: FoundAgent, gate: asyncio.Semaphore) -> bool:
        try:
            async with gate, asyncio.timeout(ONE_REPORT_S):
                report = await agent.client.node_report()
            await self.keep(cluster, report)
        except (KsnapError, TimeoutError) as error:
            log.info("agent_did_not_report", cluster=cluster, node=agent.node, error=str(error))
            return False
        return True

    async def _forget_others(self, cluster: str, nodes: Sequence[str]) -> None:
        """Nodes that left the cluster are dropped."""
        gone = delete(NodeStatus).where(NodeStatus.cluster_name == cluster, NodeStatus.node_name.not_in(nodes))
        async with self._database.writing() as session:
            await session.execute(gone)
