"""The drains of nodes: begun, looked at, cancelled; each goes on when the client has left.

A drain acts with the credentials of who began it, which are kept in memory alone. Hence it is no durable job: if its
server ends, the drain ends, and its row says `interrupted` (at once after a restart, and to all other servers when it
has been silent for a while). The node stays cordoned and a new drain goes on from there: what is evicted stays so.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.statuses import message_of
from ksnap.dashboard.writes.drain_plan import DrainOptions, PodName, Skipped, plan_drain
from ksnap.dashboard.writes.drain_run import PodProgress, PodState, drain, pods_on
from ksnap.dashboard.writes.nodes import cordon
from ksnap.errors import Conflict, KsnapError, NotFound, RateLimited
from ksnap.identity import audit
from ksnap.identity.principal import Principal
from ksnap.store.database import Database
from ksnap.store.tables import NodeDrain

RUNNING, COMPLETED, FAILED, CANCELLED, INTERRUPTED = "running", "completed", "failed", "cancelled", "interrupted"
BEAT_S = 2.0
# A server that is silent for so long is dead, or so far away that it has noticed that itself.
SILENT = timedelta(seconds=60)
KEPT = timedelta(days=7)
# People drain nodes one after the other; more at once would be a fault.
MOST = 50
SHOWN = 20
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    """A drain of this process."""

    at: ClusterAsCaller
    id: str
    node: str
    options: DrainOptions
    by: Principal | None
    pods: list[PodProgress] = field(default_factory=list)
    skipped: Sequence[Skipped] = ()
    is_cancelled: bool = False
    task: "asyncio.Task[None] | None" = None

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def progress(self) -> dict[str, Any]:
        pods = [_row(each.pod, state=each.state.value, message=each.message) for each in self.pods]
        skipped = [_row(each.pod, reason=each.reason) for each in self.skipped]
        gone = sum(each.state is PodState.GONE for each in self.pods)
        return {"total": len(pods), "gone": gone, "pods": pods, "skipped": skipped}


class Drains:
    """All drains of an installation. Made by `open_drains`."""

    def __init__(self, database: Database, server_id: str) -> None:
        self._database = database
        self._server_id = server_id
        self._running: dict[str, _Running] = {}

    async def start(
        self, at: ClusterAsCaller, node: str, options: DrainOptions, by: Principal | None
    ) -> dict[str, Any]:
        """Cordon the node and begin; the drain's status. What the options forbid is told before anything is done."""
        if len(self._running) >= MOST:
            raise RateLimited("Too many drains are running", details=f"{MOST} on this server")
        plan_drain(await pods_on(at, node), options)
        running = _Running(at, secrets.token_hex(8), node, options, by)
        await self._add(running)
        try:
            await cordon(at, node)
        except KsnapError as error:
            await self._end(running, FAILED, message_of(error))
            raise
        running.task = asyncio.create_task(self._run(running), name=f"drain of {node}")
        self._running[running.id] = running
        running.task.add_done_callback(lambda _: self._running.pop(running.id, None))
        return await self.get(at.cluster, node, running.id)

    async def get(self, cluster: str, node: str, drain_id: str) -> dict[str, Any]:
        """One drain's status."""
        return _shown(await self._row(cluster, node, drain_id))

    async def recent(self, cluster: str, node: str) -> list[dict[str, Any]]:
        """A node's last drains, the newest first."""
        mine = (NodeDrain.cluster_name == cluster) & (NodeDrain.node_name == node)
        async with self._database.reading() as session:
            query = select(NodeDrain).where(mine).order_by(NodeDrain.started_at.desc()).limit(SHOWN)
            return [_shown(each) for each in await session.scalars(query)]

    async def cancel(self, cluster: str, node: str, drain_id: str) -> dict[str, Any]:
        """Evict nothing more; what was evicted stays so, and the node cordoned. Conflict if it has ended."""
        row = await self._row(cluster, node, drain_id)
        if _status(row) != RUNNING:
            raise Conflict("The drain has ended", details=f"{drain_id} of node {node}: {_status(row)}")
        async with self._database.writing() as session:
            await session.execute(update(NodeDrain).where(NodeDrain.id == drain_id).values(cancel_requested=True))
        running = self._running.get(drain_id)
        if running is not None and running.task is not None:
            running.cancel()
            await asyncio.wait([running.task], timeout=BEAT_S)
        return await self.get(cluster, node, drain_id)

    async def recover(self) -> None:
        """What an earlier process of this server left is not at work any more."""
        await self._interrupt(NodeDrain.server_id == self._server_id)

    async def close(self) -> None:
        tasks = [each.task for each in self._running.values() if each.task is not None]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _add(self, running: _Running) -> None:
        now = datetime.now(UTC)
        await self._interrupt(NodeDrain.seen_at < now - SILENT)
        row = NodeDrain(
            id=running.id,
            cluster_name=running.at.cluster,
            node_name=running.node,
            status=RUNNING,
            server_id=self._server_id,
            started_by=running.by.username if running.by else "",
            options=_options(running.options),
            progress=running.progress(),
            started_at=now,
            seen_at=now,
        )
        try:
            async with self._database.writing() as session:
                await session.execute(delete(NodeDrain).where(NodeDrain.ended_at < now - KEPT))
                session.add(row)
        except IntegrityError:
            raise Conflict(
                "The node is being drained already",
                details=f"node {running.node} in cluster {running.at.cluster}",
                hint="GET .../drain lists its drains, DELETE .../drain/{id} cancels one",
            ) from None

    async def _run(self, running: _Running) -> None:
        beat = asyncio.create_task(self._beat(running), name=f"beat of the drain of {running.node}")
        try:
            status, message = await self._drained(running)
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        # Shielded: the end of the server must not take the drain's end with it.
        await asyncio.shield(self._end(running, status, message))

    async def _drained(self, running: _Running) -> tuple[str, str]:
        """How it ended."""
        try:
            async with asyncio.timeout(running.options.limit_s):
                plan = plan_drain(await pods_on(running.at, running.node), running.options)
                running.pods, running.skipped = [PodProgress(each) for each in plan.evict], plan.skip
                done = await drain(running.at, running.node, running.pods, running.options)
        except TimeoutError:
            return FAILED, f"The time is up ({running.options.limit_s:g} s): {_left(running.pods)}"
        except asyncio.CancelledError:
            if running.is_cancelled:
                return CANCELLED, f"Cancelled: {_left(running.pods)}"
            return INTERRUPTED, "The server was stopped"
        except KsnapError as error:
            return FAILED, message_of(error)
        except Exception:  # noqa: BLE001 - the root of a task; the trace is in the log
            _log.exception("drain_crashed", node=running.node, cluster=running.at.cluster)
            return FAILED, "Internal error"
        return (COMPLETED, "") if done else (FAILED, _left(running.pods))

    async def _beat(self, running: _Running) -> None:
        """Say how far it is, and hear whether another server was asked to cancel it."""
        while True:
            await asyncio.sleep(BEAT_S)
            values = {"seen_at": datetime.now(UTC), "progress": running.progress()}
            ours = (NodeDrain.id == running.id) & (NodeDrain.status == RUNNING)
            try:
                async with self._database.writing() as session:
                    query = update(NodeDrain).where(ours).values(values).returning(NodeDrain.cancel_requested)
                    cancelled = await session.scalar(query)
            except KsnapError as error:
                _log.warning("drain_not_noted", node=running.node, error=error.message)
                continue
            if cancelled is not False:  # True, or none: another server has taken this one for dead
                running.cancel()

    async def _end(self, running: _Running, status: str, message: str) -> None:
        values = {"status": status, "message": message, "progress": running.progress(), "ended_at": datetime.now(UTC)}
        ours = (NodeDrain.id == running.id) & (NodeDrain.status == RUNNING)
        async with self._database.writing() as session:
            await session.execute(update(NodeDrain).where(ours).values(values))
        if running.by is not None:
            outcome = audit.OK if status == COMPLETED else status
            target = f"node {running.node} in cluster {running.at.cluster}"
            await audit.record(self._database, running.by, "node_drained", target, outcome)
        _log.info("drain_ended", node=running.node, cluster=running.at.cluster, drain=running.id, status=status)

    async def _row(self, cluster: str, node: str, drain_id: str) -> NodeDrain:
        async with self._database.reading() as session:
            row = await session.get(NodeDrain, drain_id)
        if row is None or (row.cluster_name, row.node_name) != (cluster, node):
            raise NotFound("Drain not found", details=f"{drain_id[:40]} of node {node}")
        return row

    async def _interrupt(self, which: Any) -> None:
        values = {"status": INTERRUPTED, "message": "Its server has ended", "ended_at": datetime.now(UTC)}
        async with self._database.writing() as session:
            await session.execute(update(NodeDrain).where(which, NodeDrain.status == RUNNING).values(values))


@asynccontextmanager
async def open_drains(database: Database, server_id: str) -> AsyncIterator[Drains]:
    drains = Drains(database, server_id)
    await drains.recover()
    try:
        yield drains
    finally:
        await drains.close()


def _status(row: NodeDrain) -> str:
    silent = row.status == RUNNING and datetime.now(UTC) - row.seen_at > SILENT
    return INTERRUPTED if silent else row.status


def _shown(row: NodeDrain) -> dict[str, Any]:
    return {
        "id": row.id,
        "node": row.node_name,
        "status": _status(row),
        "message": row.message,
        "startedBy": row.started_by,
        "startedAt": _time(row.started_at),
        "endedAt": _time(row.ended_at),
        "options": row.options,
        **row.progress,
    }


def _options(options: DrainOptions) -> dict[str, Any]:
    return {
        "force": options.force,
        "timeoutSeconds": options.timeout_s,
        "gracePeriodSeconds": options.grace_period_s,
        "ignoreAllDaemonSets": options.ignore_daemon_sets,
        "deleteEmptyDirData": options.delete_empty_dir_data,
    }


def _left(pods: Sequence[PodProgress]) -> str:
    left = [each for each in pods if each.state is not PodState.GONE]
    shown = [f"{each.pod}" + (f" ({each.message})" if each.message else "") for each in left[:10]]
    more = f" and {len(left) - 10} more" if len(left) > 10 else ""
    return f"{len(left)} of {len(pods)} pods are left: {', '.join(shown)}{more}"


def _row(pod: PodName, **more: str) -> dict[str, str]:
    return {"namespace": pod.namespace, "name": pod.name, **more}


def _time(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
