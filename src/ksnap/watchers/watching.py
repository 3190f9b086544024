"""One watcher at work: follows its cluster's pods in the shared watch cache, and acts when its trigger fires.

A pod costs a look at its record at each of its changes, and one request once it may be frozen; nothing is asked
again and again. One piece of work for a pod at a time: what changes meanwhile is looked at when that ends.
"""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from ksnap.dashboard.kinds.cluster.nodes import NODES, Node
from ksnap.dashboard.kinds.pods import BY_NODE, PODS, Pod
from ksnap.errors import KsnapError, NotFound, Unavailable
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.watch.cache import WatchCache
from ksnap.kube.watch.caches import WatchCaches
from ksnap.kube.watch.feed import RESYNC
from ksnap.kube.watch.objects import Key
from ksnap.model.backoff import Backoff
from ksnap.watchers.acting import FINAL, Acting, Outcome
from ksnap.watchers.definition import Definition, Trigger
from ksnap.watchers.events import PodId, Told
from ksnap.watchers.rules import cordon_of, look
from ksnap.watchers.timers import Timers
from ksnap.watchers.triggers import annotation_occasion, first_time, next_time, schedule_occasion

# How often a change of the cluster's configuration, and a watch that is out of step, are looked for: one row is read.
CHECK_S = 10.0
# Out of step for longer than an API server's restart takes.
OUT_OF_STEP_S = 60.0
_BACKOFF = Backoff(first_s=1.0, longest_s=30.0)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """A pod to look at; None: the next time of the schedule has come."""

    pod: Key | None
    occasion: str


class Watching:
    """Made for each run of a watcher."""

    def __init__(
        self, watcher: Definition, acting: Acting, caches: WatchCaches, *, own_namespace: str, since: datetime
    ) -> None:
        self._watcher = watcher
        self._acting = acting
        self._caches = caches
        self._own_namespace = own_namespace
        self._since = since
        self._timers: Timers[Work] = Timers()
        self._busy: dict[tuple[Key, str], bool] = {}
        """Pods at work; True: they have changed meanwhile."""
        self._through: dict[str, set[str]] = {}
        """Occasions that are done with, by the pod's uid."""
        self._said: dict[str, str] = {}
        self._cordoned: dict[str, str] = {}
        """Occasions of the nodes that are cordoned."""

    async def run(self) -> None:
        """For ever; whatever is in the way is written down and tried again."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            error = await self._session()
            if asyncio.get_running_loop().time() - began > CHECK_S:
                failures = 0
            failures += 1
            with suppress(KsnapError):
                await self._acting.records.trouble(self._watcher.name, error)
            await asyncio.sleep(_BACKOFF.wait_s(failures, chance=random.random()))  # noqa: S311 # hides nothing

    async def _session(self) -> KsnapError:
        """Work until something is in the way: that."""
        met: KsnapError = Unavailable("The watcher has ended")
        try:
            await self._work()
        except* KsnapError as several:
            met = _first(several)
            log.warning("watcher_stumbled", watcher=self._watcher.name, reason=met.message, details=met.details)
        except* Exception as several:  # the root of this work
            log.exception("watcher_crashed", watcher=self._watcher.name)
            met = KsnapError("The watcher has crashed", details=type(several.exceptions[0]).__name__)
        return met

    async def _work(self) -> None:
        self._busy.clear()
        connection = await self._acting.checkpoints.connections.get(self._watcher.cluster)
        pods = await self._caches.ready(connection, PODS.resource)
        await self._acting.records.in_step(self._watcher.name)
        there = {each.metadata.uid for each in pods.objects}
        await self._acting.claims.forget_pods(self._watcher.cluster, there=there)
        async with asyncio.TaskGroup() as group:
            await self._resume(group)
            group.create_task(self._check(connection, pods))
            if self._watcher.trigger is Trigger.DRAIN:
                nodes = await self._caches.ready(connection, NODES.resource)
                group.create_task(self._follow_nodes(group, nodes, pods))
            if self._watcher.trigger is Trigger.SCHEDULE:
                now = datetime.now(UTC)
                first = first_time(self._watcher.options.schedule, now=now, since=self._since)
                self._timers.set(first, Work(None, schedule_occasion(first)))
            group.create_task(self._timers.run(lambda work: self._due(group, pods, work)))
            group.create_task(self._follow(group, pods))

    async def _resume(self, group: asyncio.TaskGroup) -> None:
        """Take up what an earlier run had begun; what had no job yet is begun again by the first look."""
        for claim in await self._acting.claims.unfinished(self._watcher.name):
            job_id = await self._acting.claims.job_of(claim)
            if job_id is None:
                await self._acting.claims.release(claim)
                continue
            await self._acting.claims.begun(claim, job_id)
            key = (claim.namespace, claim.pod_name)
            work = self._acting.resume(self._watcher, claim, job_id)
            self._start(group, key, claim.occasion, claim.pod_uid, work)

    async def _check(self, connection: ClusterConnection, pods: WatchCache[Pod]) -> None:
        """End the work when the cluster is configured otherwise, or has been away for long."""
        while True:
            await asyncio.sleep(CHECK_S)
            if await self._acting.checkpoints.connections.get(self._watcher.cluster) is not connection:
                raise Unavailable("The cluster's configuration has changed")
            if pods.age_s > OUT_OF_STEP_S:
                await pods.ready()  # raises what it has met

    async def _follow(self, group: asyncio.TaskGroup, pods: WatchCache[Pod]) -> None:
        with pods.subscribe() as news:
            self._look_at_all(group, pods)
            while True:
                for each in await news.next():
                    if each is RESYNC:
                        self._look_at_all(group, pods)
                    elif each.new is None:
                        self._forget(each.record)
                    else:
                        self._look(group, each.new)

    async def _follow_nodes(self, group: asyncio.TaskGroup, nodes: WatchCache[Node], pods: WatchCache[Pod]) -> None:
        with nodes.subscribe() as news:
            for node in nodes.objects:
                self._look_at_node(group, node, pods)
            while True:
                for each in await news.next():
                    changed = list(nodes.objects) if each is RESYNC else [each.record]
                    for node in changed:
                        self._look_at_node(group, node, pods)

    def _look_at_node(self, group: asyncio.TaskGroup, node: Node, pods: WatchCache[Pod]) -> None:
        name = node.metadata.name
        occasion = cordon_of(node)
        if occasion is None:
            self._cordoned.pop(name, None)
        elif self._cordoned.get(name) != occasion:
            self._cordoned[name] = occasion
            for pod in pods.objects.by(BY_NODE, name):
                self._look(group, pod)

    def _look_at_all(self, group: asyncio.TaskGroup, pods: WatchCache[Pod]) -> None:
        for pod in pods.objects:
            self._look(group, pod)

    def _look(self, group: asyncio.TaskGroup, pod: Pod, occasion: str | None = None) -> None:
        """At a pod's record, at each change of it."""
        found = look(pod, self._watcher, own_namespace=self._own_namespace)
        uid = pod.metadata.uid
        if not found.may:
            if found.why and self._said.get(uid) != found.why:
                self._said[uid] = found.why
                told = Told.IGNORED if found.ignored else Told.WAITING
                one = PodId(*pod.key, uid)
                group.create_task(self._acting.events.tell(self._watcher.name, one, told, found.why))
            return
        occasion = occasion if occasion is not None else self._occasion(pod)
        if occasion is None or occasion in self._through.get(uid, ()):
            return
        self._begin(group, pod.key, uid, occasion)

    def _occasion(self, pod: Pod) -> str | None:
        """For which occasion the pod is to be frozen now; None: for none."""
        match self._watcher.trigger:
            case Trigger.STARTUP_PROBE | Trigger.READY:
                return ""
            case Trigger.ANNOTATION:
                return annotation_occasion(pod.metadata.annotations)
            case Trigger.DRAIN:
                return self._cordoned.get(pod.node_name)
            case Trigger.SCHEDULE:
                return None

    def _due(self, group: asyncio.TaskGroup, pods: WatchCache[Pod], work: Work) -> None:
        if work.pod is not None:
            pod = pods.objects.get(*work.pod)
            if pod is not None:
                self._look(group, pod, work.occasion)
            return
        now = datetime.now(UTC)
        following = next_time(self._watcher.options.schedule, now)
        self._timers.set(following, Work(None, schedule_occasion(following)))
        for pod in pods.objects:
            self._look(group, pod, work.occasion)

    def _begin(self, group: asyncio.TaskGroup, key: Key, uid: str, occasion: str) -> None:
        if (key, occasion) in self._busy:
            self._busy[key, occasion] = True
            return
        self._start(group, key, occasion, uid, self._acting.act(self._watcher, *key, occasion))

    def _start(
        self, group: asyncio.TaskGroup, key: Key, occasion: str, uid: str, work: Coroutine[Any, Any, Outcome]
    ) -> None:
        self._busy[key, occasion] = False
        group.create_task(self._worked(group, key, occasion, uid, work), name=f"watcher {self._watcher.name} {key}")

    async def _worked(
        self, group: asyncio.TaskGroup, key: Key, occasion: str, uid: str, work: Coroutine[Any, Any, Outcome]
    ) -> None:
        try:
            outcome = await work
        except NotFound as error:  # a job or a checkpoint that was taken away meanwhile
            log.info("watcher_lost_its_job", watcher=self._watcher.name, details=error.details)
            outcome = Outcome()
        except KsnapError:
            raise  # the database is away, or the server ends: all that was begun is taken up anew
        except Exception:  # one odd pod must not keep the others waiting
            log.exception("watcher_pod_crashed", watcher=self._watcher.name, pod="/".join(key))
            outcome = FINAL
        changed = self._busy.pop((key, occasion), False)
        if outcome.is_final:
            self._through.setdefault(uid, set()).add(occasion)
        elif outcome.again_at is not None:
            self._timers.set(outcome.again_at, Work(key, occasion))
        elif changed:
            self._begin(group, key, uid, occasion)

    def _forget(self, pod: Pod) -> None:
        self._through.pop(pod.metadata.uid, None)
        self._said.pop(pod.metadata.uid, None)


def _first(several: BaseExceptionGroup[KsnapError]) -> KsnapError:
    first = several.exceptions[0]
    return first if isinstance(first, KsnapError) else _first(first)
