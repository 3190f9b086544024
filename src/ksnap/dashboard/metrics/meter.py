"""One cluster's use, looked at once a minute for as long as somebody wants to know.

Between the looks the source's health is asked for, so that one that fails is left, and one that is back is taken up
again, within the period of these checks. While none works metrics are off: lists go on without them.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from ksnap.dashboard.metrics.history import History, pack, unpack
from ksnap.dashboard.metrics.sources import Absent, Source
from ksnap.dashboard.metrics.window import SPAN_S, Window
from ksnap.errors import KsnapError
from ksnap.kube.connection import ClusterConnection
from ksnap.model.usage import Reading

LOOK_S = 60
# Servers that share a database do not all look at the turn of the minute: the first one spares the others the work.
_SPREAD_S = (0.5, 5.0)

_log = structlog.get_logger(__name__)


class Meter:
    """Made and run by `service.Metrics`; others read its public fields. `sources` are tried in their order."""

    def __init__(
        self,
        cluster: str,
        connect: Callable[[], Awaitable[ClusterConnection]],
        sources: Callable[[ClusterConnection], Sequence[Source]],
        history: History,
        *,
        check_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.pods = Window()
        self.nodes = Window()
        self.looked_at = 0
        """The newest look's minute."""
        self.is_on = False
        self.trouble: KsnapError | None = None
        """Why metrics are off though there should be some, or why a part of them is missing."""
        self._cluster = cluster
        self._connect = connect
        self._sources = sources
        self._history = history
        self._check_s = check_s
        self._clock = clock
        self._source = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.round()
            except Exception:  # noqa: BLE001 - the root of a task whose next round may succeed
                _log.exception("usage_round_crashed", cluster=self._cluster)
            to_next_look = LOOK_S - self._clock() % LOOK_S + random.uniform(*_SPREAD_S)  # noqa: S311 # spreads load
            await asyncio.sleep(min(self._check_s, to_next_look))

    async def round(self) -> None:
        """See which source works, and have this minute's look if it is not there yet."""
        minute = int(self._clock()) // LOOK_S * LOOK_S
        try:
            await self._catch_up(minute)
            own = await self._connect()
        except KsnapError as error:
            self._turn_off([error])
            return
        failures: list[KsnapError] = []
        for source in self._sources(own):
            try:
                await self._use(source, minute)
            except Absent:
                continue
            except KsnapError as error:
                failures.append(error)
            else:
                return
        self._turn_off(failures)

    async def _use(self, source: Source, minute: int) -> None:
        await source.check()
        if self.looked_at < minute:
            reading = await source.read()
            await self._take(minute, reading)
            self.trouble = reading.trouble
            await self._keep(minute, reading)
        elif not self.is_on:
            self.trouble = None
        if not self.is_on or self._source != source.id:
            _log.info("usage_source_chosen", cluster=self._cluster, source=source.id)
        self.is_on, self._source = True, source.id

    def _turn_off(self, failures: list[KsnapError]) -> None:
        trouble = failures[0] if failures else None
        if self.is_on and trouble is not None:
            _log.warning("usage_lost", cluster=self._cluster, reason=trouble.message, details=trouble.details)
        self.is_on, self.trouble = False, trouble

    async def _catch_up(self, minute: int) -> None:
        """Take what was seen before we began, and what other servers have seen."""
        try:
            looks = await self._history.since(self._cluster, max(self.looked_at, minute - SPAN_S))
        except KsnapError as error:
            _log.warning("usage_not_read", cluster=self._cluster, reason=error.message)
            return
        for at, content in looks:
            if at > minute:
                continue  # by a clock that is ahead
            try:
                reading = await asyncio.to_thread(unpack, content)
            except ValueError as error:
                _log.warning("usage_look_dropped", cluster=self._cluster, reason=str(error))
            else:
                await self._take(at, reading)

    async def _take(self, at: int, reading: Reading) -> None:
        self.pods, self.nodes = (
            await asyncio.to_thread(self.pods.after, at, reading.pods),
            await asyncio.to_thread(self.nodes.after, at, reading.nodes),
        )
        self.looked_at = at

    async def _keep(self, at: int, reading: Reading) -> None:
        content = await asyncio.to_thread(pack, reading)
        try:
            await self._history.add(self._cluster, at, content)
        except KsnapError as error:
            _log.warning("usage_not_kept", cluster=self._cluster, reason=error.message)
