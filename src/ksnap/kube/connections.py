"""The open connections, one per cluster: made on first use, dropped when the cluster's configuration changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ksnap.kube.cluster_config import ClusterConfig
from ksnap.kube.connection import ClusterConnection

LoadConfig = Callable[[str], Awaitable[ClusterConfig]]
# A dropped connection may still carry someone's request: it is closed at the first drop after this long.
LINGER_S = 60.0


class ClusterConnections:
    """Connections by cluster name. `load` reads one cluster's configuration, or raises ClusterNotFound.

    The configuration is read at every `get`, which costs one row: so a change made by another replica counts too.
    """

    def __init__(self, load: LoadConfig) -> None:
        self._load = load
        self._open: dict[str, ClusterConnection] = {}
        self._lingering: dict[ClusterConnection, float] = {}
        self._lock = asyncio.Lock()

    async def get(self, cluster: str) -> ClusterConnection:
        """The connection of a cluster as it is configured now."""
        config = await self._load(cluster)
        async with self._lock:
            known = self._open.get(cluster)
            if known is not None and known.config == config:
                return known
            opened = await ClusterConnection.open(config)
            self._open[cluster] = opened
            if known is not None:
                await self._retire(known)
            return opened

    async def drop(self, cluster: str) -> None:
        """Forget a cluster that was removed."""
        async with self._lock:
            known = self._open.pop(cluster, None)
            if known is not None:
                await self._retire(known)

    async def close(self) -> None:
        async with self._lock:
            for each in [*self._open.values(), *self._lingering]:
                await each.close()
            self._open.clear()
            self._lingering.clear()

    async def _retire(self, connection: ClusterConnection) -> None:
        """Close what was dropped long enough ago, and let this one linger."""
        now = time.monotonic()
        for each, since in list(self._lingering.items()):
            if now - since > LINGER_S:
                del self._lingering[each]
                await each.close()
        self._lingering[connection] = now
