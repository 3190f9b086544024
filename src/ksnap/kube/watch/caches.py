"""The watch caches of all clusters: each begun when first read, shared by all readers, ended when nobody reads.

async with WatchCaches(settings) as caches:
    cache = await caches.ready(connection, PODS)
    cache.objects.get("default", "web-0")
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar, cast

import structlog

from ksnap.errors import KsnapError, Unavailable
from ksnap.kube.cluster_config import ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.watch.cache import WatchCache, WatchSettings
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)
log = structlog.get_logger(__name__)
# How often the idle ones are looked for, as a part of how long they may be idle.
_LOOKS = 4


class _Cluster:
    """The caches of one cluster as it is configured."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.caches: dict[Resource[Any], tuple[WatchCache[Any], asyncio.Task[None]]] = {}


class WatchCaches:
    """Enter it before use; leaving it ends all caches."""

    def __init__(self, settings: WatchSettings | None = None) -> None:
        self._settings = settings or WatchSettings()
        self._clusters: dict[str, _Cluster] = {}
        # Not a task group: the end of one watch is no reason to end whoever has opened this.
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._start(self._end_idle(), "end idle watches")
        return self

    async def __aexit__(self, *_: object) -> None:
        for cluster in list(self._clusters):
            self.drop(cluster)
        running = list(self._tasks)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ready(
        self, connection: ClusterConnection, resource: Resource[R], *, fresh: bool = False
    ) -> WatchCache[R]:
        """The cache, filled and in step, or the error that says why not. `fresh`: with all that happened until now.

        `connection` is ksnap's own account's; who may see what is the reader's to ask."""
        cache = self.cache(connection, resource)
        await (cache.fresh() if fresh else cache.ready())
        return cache

    def cache(self, connection: ClusterConnection, resource: Resource[R]) -> WatchCache[R]:
        """The cache, begun if need be, maybe not filled yet."""
        cluster = self._clusters.get(connection.name)
        if cluster is not None and cluster.config != connection.config:
            self.drop(connection.name)
            cluster = None
        if cluster is None:
            cluster = self._clusters[connection.name] = _Cluster(connection.config)
        known = cluster.caches.get(resource)
        if known is None:
            cache = WatchCache(connection, resource, self._settings)
            task = self._start(cache.run(), f"watch {resource} of {connection.name}")
            known = cluster.caches[resource] = cache, task
            log.info("watch_begun", cluster=connection.name, resource=str(resource))
        return cast(WatchCache[R], known[0])

    def drop(self, cluster: str) -> None:
        """End the caches of a cluster that was removed or changed."""
        known = self._clusters.pop(cluster, None)
        for cache, task in known.caches.values() if known else ():
            _end(cache, task, Unavailable("The cluster's configuration has changed", hint="Ask again"))

    @property
    def running(self) -> Mapping[str, int]:
        """How many caches each cluster has."""
        return {name: len(cluster.caches) for name, cluster in self._clusters.items()}

    async def _end_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settings.idle_s / _LOOKS)
            for name, cluster in self._clusters.items():
                for resource, (cache, task) in list(cluster.caches.items()):
                    if not cache.subscribers and loop.time() - cache.used_at >= self._settings.idle_s:
                        del cluster.caches[resource]
                        _end(cache, task, Unavailable("The watch was idle and has ended", hint="Ask again"))
                        log.info("watch_ended_idle", cluster=name, resource=str(resource))


def _end(cache: WatchCache[Any], task: asyncio.Task[None], error: KsnapError) -> None:
    task.cancel()
    cache.end(error)
