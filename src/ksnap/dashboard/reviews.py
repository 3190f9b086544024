"""What a caller may do, asked of Kubernetes and remembered for some seconds.

A SelfSubjectAccessReview as the caller: it is asked with the same credentials as everything else, so impersonation,
passed-on tokens and every authorizer of the cluster count, and everyone may ask it (`system:basic-user`).
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from ksnap.kube.caller import Caller
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.reviews import may

# A right that was taken away is gone within ten seconds: this, and what a slow review takes.
REMEMBERED_S = 5.0
REMEMBERED_AT_MOST = 50_000


@dataclass(frozen=True, slots=True)
class Right:
    """What is asked for; without a namespace in all, without a name to all."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


_Key = tuple[ClusterConnection, str, Right]


@dataclass(slots=True)
class AccessReviews:
    """The answers of all clusters, for all callers."""

    _known: OrderedDict[_Key, tuple[float, bool]] = field(default_factory=OrderedDict)
    _asked: dict[_Key, "asyncio.Task[bool]"] = field(default_factory=dict)

    async def may(self, own: ClusterConnection, caller: Caller, right: Right) -> bool:
        """Whether `caller` has this right now, or had it some seconds ago. `own` names the cluster."""
        key = (own, caller.key, right)
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        asked = self._asked.get(key)
        if asked is None:
            asked = asyncio.create_task(self._ask(key, own.acting(caller)), name="access review")
            asked.add_done_callback(_noticed)
            self._asked[key] = asked
        return await asyncio.shield(asked)  # others may wait for it, too

    async def _ask(self, key: _Key, api: ClusterConnection) -> bool:
        right, began = key[2], time.monotonic()
        try:
            allowed = await may(
                api,
                right.verb,
                right.resource,
                group=right.group,
                namespace=right.namespace,
                name=right.name,
                subresource=right.subresource,
            )
        finally:
            del self._asked[key]
        self._known[key] = (began, allowed)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED_AT_MOST:
            self._known.popitem(last=False)
        return allowed

    async def close(self) -> None:
        running = list(self._asked.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _noticed(task: "asyncio.Task[bool]") -> None:
    """Nobody may wait any more for a review that failed: its error is no loss then."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Reviews:
    """The rights of one caller in one cluster."""

    _all: AccessReviews
    _own: ClusterConnection
    _caller: Caller

    async def may(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> bool:
        right = Right(verb, resource, group, namespace, name, subresource)
        return await self._all.may(self._own, self._caller, right)

    async def require(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> None:
        """KubeRefusal (403) without the right, in words like the API server's own."""
        if not await self.may(verb, resource, group=group, namespace=namespace, name=name, subresource=subresource):
            whole = f"{resource}/{subresource}" if subresource else resource
            raise KubeRefusal.forbidden(verb, whole, group=group, namespace=namespace)
