"""The watchers of one installation: told, started, stopped, removed; and run, each by one server.

What is wished of a watcher stands in the database. One loop compares it with what runs here, so that a start of the
server, a lease that another server has lost, and a change made by another server all count in the same way.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from ksnap.configuration.clusters import Clusters
from ksnap.dashboard.kinds.pods import PODS
from ksnap.errors import Conflict, KsnapError
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.kube.watch.caches import WatchCaches
from ksnap.store.tables import Watcher
from ksnap.watchers.acting import Acting
from ksnap.watchers.definition import Definition, definition_of
from ksnap.watchers.events import WatcherEvents
from ksnap.watchers.leases import Leases
from ksnap.watchers.watching import Watching

# How soon a wish that another server has noted, and a lease that became free, are seen.
ROUND_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    generation: int
    task: asyncio.Task[None]


class Watchers:
    """Made by `open_watchers`, which runs it."""

    def __init__(
        self,
        acting: Acting,
        clusters: Clusters,
        caches: WatchCaches,
        *,
        own_namespace: str,
        leases: Leases | None,
        round_s: float = ROUND_S,
    ) -> None:
        self._acting = acting
        self._records = acting.records
        self._clusters = clusters
        self._caches = caches
        self._own_namespace = own_namespace
        self._leases = leases
        """None: there can be no other server."""
        self._round_s = round_s
        self._runs: dict[str, _Run] = {}
        self._turn = asyncio.Lock()

    @property
    def events(self) -> WatcherEvents:
        """What watchers did, and why not."""
        return self._acting.events

    # What routes ask for

    async def all(self) -> Sequence[Watcher]:
        return await self._records.all()

    async def get(self, name: str) -> Watcher:
        return await self._records.get(name)

    async def find(self, name: str) -> Watcher | None:
        return await self._records.find(name)

    def is_alive(self, row: Watcher) -> bool:
        """Whether it is at work: here, or on the server that has its lease."""
        run = self._runs.get(row.name)
        if run is not None:
            return not run.task.done()
        return row.wanted and self._leases is not None and row.lease_holder not in {"", self._leases.server}

    async def create(self, by: Principal, definition: Definition) -> Watcher:
        """Store it and start it; where its cluster cannot be watched now, its state says so."""
        async with audited(self._records.database, by, "watcher_created", definition.name):
            definition.check()
            await self._clusters.get(definition.cluster)
            await self._records.add(definition)
        with suppress(KsnapError):
            await self._reach(definition)
        await self._round()
        return await self._records.get(definition.name)

    async def update(self, by: Principal, definition: Definition) -> Watcher:
        """Tell it something else; one that runs begins anew with it."""
        async with audited(self._records.database, by, "watcher_updated", definition.name):
            definition.check()
            await self._records.change(definition)
        await self._round()
        return await self._records.get(definition.name)

    async def start(self, by: Principal, name: str) -> Watcher:
        """Again is harmless. What it had given up is tried again if it was stopped before."""
        async with audited(self._records.database, by, "watcher_started", name):
            if await self._records.wish(name, running=True):
                await self._acting.claims.forget_failures(name)
            await self._round()
            await self._reach(definition_of(await self._records.get(name)))
        return await self._records.get(name)

    async def stop(self, by: Principal, name: str) -> Watcher:
        """Again is harmless. Jobs that it has begun go on."""
        async with audited(self._records.database, by, "watcher_stopped", name):
            await self._records.wish(name, running=False)
            await self._round()
        return await self._records.get(name)

    async def delete(self, by: Principal, name: str) -> None:
        """Checkpoints and images stay."""
        async with audited(self._records.database, by, "watcher_deleted", name):
            await self._records.wish(name, running=False)
            await self._round()
            await self._records.remove(name)

    async def start_as(self, by: Principal, definition: Definition) -> Watcher:
        """Start the watcher of this name as it is told here; Conflict if it runs and is told otherwise."""
        found = await self._records.find(definition.name)
        if found is None:
            definition.check()
            await self.create(by, definition)
        elif definition_of(found) != definition:
            if found.wanted:
                raise Conflict(
                    "The watcher runs with other parameters",
                    details=f"watcher {definition.name}",
                    hint="Stop it first (POST /operator/stop)",
                )
            await self.update(by, definition)
        return await self.start(by, definition.name)

    # How they run

    async def keep(self) -> None:
        """Compare wishes with what runs, for ever."""
        while True:
            try:
                await self._round()
            except KsnapError as error:
                log.warning("watchers_not_seen_to", reason=error.message, details=error.details)
            except Exception:  # the next round may do better
                log.exception("watchers_round_crashed")
            for name in [each for each in self._runs if self._leases is not None and not self._leases.holds(each)]:
                await self._end(name)
            await asyncio.sleep(self._round_s)

    async def close(self) -> None:
        """End all; another server may begin at once."""
        async with self._turn:
            for name in list(self._runs):
                await self._end(name)
            if self._leases is not None:
                with suppress(KsnapError):
                    for row in await self._records.all():
                        await self._leases.give_back(row)

    async def _reach(self, definition: Definition) -> None:
        """Raise what keeps the cluster from being watched."""
        # A small list tells it at once; the watch's own list waits for an API server that is away.
        try:
            connection = await self._acting.checkpoints.connections.get(definition.cluster)
            await connection.get(PODS.resource.path(), what="pods", params={"limit": "1"})
        except KsnapError as error:
            await self._records.trouble(definition.name, error)
            raise

    async def _round(self) -> None:
        async with self._turn:
            rows = {each.name: each for each in await self._records.all()}
            for name in [each for each in self._runs if each not in rows]:
                await self._end(name)
            for row in rows.values():
                await self._see_to(row)

    async def _see_to(self, row: Watcher) -> None:
        run = self._runs.get(row.name)
        may = row.wanted and (self._leases is None or await self._leases.hold(row))
        if run is not None and (not may or run.generation != row.generation or run.task.done()):
            await self._end(row.name)
            run = None
        if not row.wanted and self._leases is not None:
            await self._leases.give_back(row)
        if may and run is None:
            self._begin(row)

    def _begin(self, row: Watcher) -> None:
        watching = Watching(
            definition_of(row),
            self._acting,
            self._caches,
            own_namespace=self._own_namespace,
            since=row.started_at or row.created_at,
        )
        task = asyncio.create_task(watching.run(), name=f"watcher {row.name}")
        self._runs[row.name] = _Run(row.generation, task)
        log.info("watcher_begun", watcher=row.name, cluster=row.cluster_name)

    async def _end(self, name: str) -> None:
        run = self._runs.pop(name, None)
        if run is not None:
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)
            log.info("watcher_ended", watcher=name)


@asynccontextmanager
async def open_watchers(watchers: Watchers) -> AsyncIterator[Watchers]:
    """The watchers of one server, at work."""
    task = asyncio.create_task(watchers.keep(), name="watchers")
    try:
        yield watchers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await watchers.close()
