"""The watch cache against the real API server, and against what may happen on the way to it.

A proxy in front of the API server changes one answer; where a condition is waited for, the limit is generous.
"""

import asyncio
import json
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from ksnap.errors import ClusterConnectionFailed, NotFound, Unavailable
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.watch.cache import WatchCache, WatchSettings
from ksnap.kube.watch.caches import WatchCaches
from ksnap.kube.watch.feed import RESYNC
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource
from tests.cluster.dashboard.client import account, rule
from tests.cluster.namespaces import own_namespace
from tests.parties.certificates import ServerCertificate, issue_certificate
from tests.parties.fault_proxy import Answer, CutAnswer, Fault, FaultProxy, Hang, Hold, fault_proxy

Open = Callable[..., AbstractAsyncContextManager["Watched"]]
WAIT_S = 30.0
GROUP = "test.ksnap.dev"
WATCH, LIST = r"watch=1", r"/configmaps\?(?!.*watch=1)"
GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "old"}


class Sealed(Record, frozen=True):
    type: str = ""


CONFIG_MAPS = Resource("configmaps", "ConfigMap", Record, form="metadata")
SECRETS = Resource("secrets", "Secret", Sealed, form="table")


@dataclass(slots=True)
class Watched:
    """A cache behind a proxy, looked at in one namespace."""

    caches: WatchCaches
    connection: ClusterConnection
    proxy: FaultProxy
    namespace: str

    async def ready(self) -> WatchCache[Record]:
        return await self.caches.ready(self.connection, CONFIG_MAPS)

    async def names(self) -> set[str]:
        return names_in(await self.ready(), self.namespace)

    async def until(self, condition: Callable[[set[str]], bool]) -> set[str]:
        """The names, as soon as the condition holds for them."""
        async with asyncio.timeout(WAIT_S):
            while not condition(found := await self.names()):  # noqa: ASYNC110 - what is read may fail, as in life
                await asyncio.sleep(0.05)
            return found

    async def met(self, fault: Fault) -> None:
        await eventually(lambda: fault.met > 0)

    def asked(self, pattern: str) -> int:
        return sum(1 for each in self.proxy.requests if pattern in each.path)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until it is so; what it is about has no event to wait for."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def names_in(cache: WatchCache[Record], namespace: str) -> set[str]:
    return {each.metadata.name for each in cache.objects if each.metadata.namespace == namespace}


@pytest.fixture(scope="module")
def certificate(cluster: ClusterInfo, tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return issue_certificate(tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def room(kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        yield name


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, room: str) -> Iterator[str]:
    """Of ksnap's own account, in these tests: it may list and watch, and change nothing."""
    core = [rule(each, "list", "watch") for each in ("configmaps", "secrets")]
    with account(kubectl, room, cluster_rules=[*core, rule("*", "list", "watch", group=GROUP)]) as found:
        yield found


@pytest.fixture
def open_cache(cluster: ClusterInfo, kubectl: Kubectl, certificate: ServerCertificate, token: str) -> Open:
    trust = ssl.create_default_context(cafile=str(cluster.ca_file))

    @asynccontextmanager
    async def opened(settings: WatchSettings | None = None, *, as_token: str = token) -> AsyncIterator[Watched]:
        with own_namespace(kubectl) as namespace:
            async with fault_proxy(cluster.api_server, tls=certificate, upstream_tls=trust) as proxy:
                config = ClusterConfig(
                    "watched",
                    f"https://{proxy.host}",
                    AuthType.TOKEN,
                    SecretStr(as_token),
                    ca_cert=certificate.ca_pem,
                    timeout_s=10,
                )
                connection = await ClusterConnection.open(config)
                try:
                    async with WatchCaches(settings) as caches:
                        yield Watched(caches, connection, proxy, namespace)
                finally:
                    await connection.close()

    return opened


def create(kubectl: Kubectl, namespace: str, *names: str) -> None:
    api = {"apiVersion": "v1", "kind": "ConfigMap"}
    kubectl.apply(*({**api, "metadata": {"name": each, "namespace": namespace}, "data": {"a": "b"}} for each in names))


def delete(kubectl: Kubectl, namespace: str, *names: str) -> None:
    kubectl("-n", namespace, "delete", "configmap", *names)


async def test_it_fills_and_follows(open_cache: Open, kubectl: Kubectl) -> None:
    async with open_cache() as watched:
        create(kubectl, watched.namespace, "a")
        cache = await watched.ready()
        assert {"a"} <= names_in(cache, watched.namespace)
        with cache.subscribe() as reader:
            create(kubectl, watched.namespace, "b")
            kubectl("-n", watched.namespace, "label", "configmap", "b", "color=red")
            delete(kubectl, watched.namespace, "b")
            seen: list[tuple[str, ...]] = []
            async with asyncio.timeout(WAIT_S):
                while len(seen) < 3:
                    for each in await reader.next():
                        assert each is not RESYNC
                        if each.record.key == (watched.namespace, "b"):
                            seen.append((each.type, color(each.old), color(each.new)))
        assert seen == [("added", "-", ""), ("modified", "", "red"), ("deleted", "red", "-")]
        assert cache.age_s == 0


def color(record: Record | None) -> str:
    return record.metadata.labels.get("color", "") if record is not None else "-"


async def test_readers_share_one_watch(open_cache: Open) -> None:
    async with open_cache() as watched:
        found = await asyncio.gather(*(watched.ready() for _ in range(10)))
        assert len({id(each) for each in found}) == 1
        await watched.until(lambda _: watched.asked("watch=1") == 1)
        assert len(watched.proxy.requests) == 2


async def test_a_list_comes_in_pages(open_cache: Open, kubectl: Kubectl) -> None:
    names = {f"page-{number}" for number in range(7)}
    async with open_cache(WatchSettings(page=2)) as watched:
        create(kubectl, watched.namespace, *names)
        assert names <= await watched.names()
        assert watched.asked("continue=") >= 3


async def test_a_continuation_that_expires_begins_the_list_again(open_cache: Open, kubectl: Kubectl) -> None:
    names = {f"page-{number}" for number in range(7)}
    async with open_cache(WatchSettings(page=2)) as watched:
        fault = watched.proxy.add(Fault("GET", "continue=", Answer(410, json.dumps(GONE).encode()), skip=1))
        create(kubectl, watched.namespace, *names)
        assert names <= await watched.names()
        assert fault.met == 1
        lists = [
            each.path for each in watched.proxy.requests if "watch=1" not in each.path and "continue=" not in each.path
        ]
        assert len(lists) == 2


async def test_a_watch_that_is_too_old_is_followed_by_a_list_and_nothing_is_missing_meanwhile(
    open_cache: Open, kubectl: Kubectl
) -> None:
    async with open_cache() as watched:
        create(kubectl, watched.namespace, "old", "kept")
        event = json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n"
        watched.proxy.add(Fault("GET", WATCH, Answer(200, event, {"Content-Type": "application/json"})))
        slow = watched.proxy.add(Fault("GET", LIST, Hold(), skip=1))
        cache = await watched.ready()
        with cache.subscribe() as reader:
            await watched.met(slow)
            delete(kubectl, watched.namespace, "old")
            create(kubectl, watched.namespace, "new")
            # The list hangs: what is shown is the whole of before.
            assert await watched.names() >= {"old", "kept"}
            watched.proxy.release()
            assert await watched.until(lambda names: "new" in names) >= {"new", "kept"}
            assert "old" not in await watched.names()
            mine = {
                (each.type, each.record.metadata.name)
                for each in await reader.next()
                if each is not RESYNC and each.record.metadata.namespace == watched.namespace
            }
        assert mine == {("deleted", "old"), ("added", "new")}


async def test_a_watch_that_breaks_off_is_resumed_without_a_list(open_cache: Open, kubectl: Kubectl) -> None:
    async with open_cache() as watched:
        cut = watched.proxy.add(Fault("GET", WATCH, CutAnswer(10)))
        await watched.ready()
        create(kubectl, watched.namespace, "a")
        await watched.met(cut)
        create(kubectl, watched.namespace, "b")
        assert await watched.until(lambda names: {"a", "b"} <= names)
        assert sum(1 for each in watched.proxy.requests if "watch=1" not in each.path) == 1


async def test_many_changes_over_a_line_that_breaks_again_and_again(open_cache: Open, kubectl: Kubectl) -> None:
    """In the end the cache holds what the API server holds, version by version, and the feed told how it came to it."""
    async with open_cache() as watched:
        for size in (900, 5_000, 12_000, 20_000):
            watched.proxy.add(Fault("GET", WATCH, CutAnswer(size)))
        told: dict[str, str] = {}
        cache = await watched.ready()
        room = watched.namespace
        with cache.subscribe() as reader:
            names = [f"many-{number}" for number in range(30)]
            await asyncio.to_thread(create, kubectl, room, *names)
            await asyncio.to_thread(kubectl, "-n", room, "label", "configmap", *names[:20], "color=red")
            await asyncio.to_thread(delete, kubectl, room, *names[10:25])
            await asyncio.to_thread(create, kubectl, room, *names[15:20])
            listed = json.loads(await asyncio.to_thread(kubectl, "-n", room, "get", "configmaps", "-o", "json"))[
                "items"
            ]
            expected = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in listed}
            await eventually(lambda: versions(cache, room) == expected)
            for each in await reader.next():
                assert each is not RESYNC
                name, metadata = each.record.metadata.name, each.record.metadata
                if metadata.namespace == room and each.type == "deleted":
                    del told[name]
                elif metadata.namespace == room:
                    assert (name in told) == (each.type == "modified")
                    told[name] = metadata.resource_version
        assert watched.asked("watch=1") > 2
        assert told == {name: version for name, version in expected.items() if name in names}


def versions(cache: WatchCache[Record], namespace: str) -> dict[str, str]:
    records = [each.metadata for each in cache.objects if each.metadata.namespace == namespace]
    return {each.name: each.resource_version for each in records}


async def test_a_silent_watch_is_begun_again(open_cache: Open, kubectl: Kubectl) -> None:
    async with open_cache(WatchSettings(silence_s=0.5)) as watched:
        silent = watched.proxy.add(Fault("GET", WATCH, Hang()))
        await watched.ready()
        await watched.met(silent)
        create(kubectl, watched.namespace, "a")
        assert await watched.until(lambda names: "a" in names)


async def gone_away(watched: Watched, kubectl: Kubectl) -> WatchCache[Record]:
    """A filled cache whose API server then answers no more, and which has noticed."""
    create(kubectl, watched.namespace, "a")
    watched.proxy.add(Fault("GET", WATCH, CutAnswer(10)))
    away = watched.proxy.add(Fault("GET", "", Answer(503), times=None, skip=1))
    cache = await watched.ready()
    create(kubectl, watched.namespace, "b")
    await watched.met(away)
    await eventually(lambda: cache.age_s)
    return cache


async def test_an_api_server_that_is_away_for_a_while(open_cache: Open, kubectl: Kubectl) -> None:
    """Lists go on, and say how old they are; then all is well again."""
    async with open_cache(WatchSettings(stale_s=300)) as watched:
        cache = await gone_away(watched, kubectl)
        assert "a" in await watched.names()
        watched.proxy.faults.clear()
        await eventually(lambda: not cache.age_s)
        assert await watched.until(lambda names: {"a", "b"} <= names)


async def test_an_api_server_that_is_away_for_long(open_cache: Open, kubectl: Kubectl) -> None:
    async with open_cache(WatchSettings(stale_s=0.1)) as watched:
        await gone_away(watched, kubectl)
        with pytest.raises(ClusterUnreachable) as failed:
            await watched.until(lambda _: False)
        assert "could not answer" in failed.value.message


async def test_nothing_to_read_yet(open_cache: Open) -> None:
    async with open_cache(WatchSettings(fill_s=0.5)) as watched:
        watched.proxy.add(Fault("GET", LIST, Hang()))
        with pytest.raises(ClusterUnreachable) as failed:
            await watched.ready()
        assert failed.value.message == "The list is not complete yet"


async def test_lasting_trouble_is_told_at_once(open_cache: Open, kubectl: Kubectl, room: str) -> None:
    """A missing right and a resource that there is not: no waiting helps."""
    with account(kubectl, room) as powerless:
        async with open_cache(WatchSettings(fill_s=WAIT_S), as_token=powerless) as watched:
            async with asyncio.timeout(WAIT_S / 2):
                with pytest.raises(ClusterConnectionFailed) as refused:
                    await watched.ready()
            assert "lacks a right" in refused.value.message
    async with open_cache(WatchSettings(fill_s=WAIT_S)) as watched, asyncio.timeout(WAIT_S / 2):
        unknown = Resource("nothings", "Nothing", Record, group=GROUP)
        with pytest.raises(NotFound):
            await watched.caches.ready(watched.connection, unknown)


async def test_fresh_is_as_of_now(open_cache: Open, kubectl: Kubectl) -> None:
    """Quiet or busy: what was there before the question is in the answer. One list serves all who wait for it."""
    async with open_cache() as watched:
        cache = await watched.ready()
        for number in range(4):
            create(kubectl, watched.namespace, f"new-{number}")
            await cache.fresh()
            assert f"new-{number}" in names_in(cache, watched.namespace)
            if number == 2:
                # Nothing of this resource changes, but others do: the present version is never reached by the watch.
                kubectl("-n", watched.namespace, "create", "serviceaccount", "other")
                before = len(watched.proxy.requests)
                await asyncio.gather(*(cache.fresh() for _ in range(5)))
                lists = [each for each in watched.proxy.requests[before:] if "limit=500" in each.path]
                assert len(lists) <= 2
        delete(kubectl, watched.namespace, "new-0")
        await cache.fresh()
        assert "new-0" not in names_in(cache, watched.namespace)


async def test_a_changed_configuration_ends_what_went_by_the_old_one(open_cache: Open) -> None:
    async with open_cache() as watched:
        former = await watched.ready()
        config = replace(watched.connection.config, timeout_s=11)
        changed = await ClusterConnection.open(config)
        try:
            with former.subscribe() as reader:
                assert await watched.caches.ready(changed, CONFIG_MAPS) is not former
                with pytest.raises(Unavailable):
                    await reader.next()
            with pytest.raises(Unavailable):
                await former.ready()
            assert watched.caches.running == {"watched": 1}
        finally:
            watched.caches.drop("watched")
            await changed.close()


async def test_idle_caches_end(open_cache: Open) -> None:
    async with open_cache(WatchSettings(idle_s=0.4)) as watched:
        cache = await watched.ready()
        with cache.subscribe():
            await asyncio.sleep(1)
            # Somebody listens: it is not idle.
            assert watched.caches.running == {"watched": 1}
        await eventually(lambda: watched.caches.running == {"watched": 0})
        with pytest.raises(Unavailable):
            await cache.ready()
        assert await watched.ready() is not cache


async def test_secrets_stay_where_they_are(open_cache: Open, kubectl: Kubectl) -> None:
    async with open_cache() as watched:
        make = ("-n", watched.namespace, "create", "secret", "generic", "--from-literal=k=v")
        kubectl(*make, "a", "--type=example.dev/kind")
        cache = await watched.caches.ready(watched.connection, SECRETS)
        found = cache.objects.get(watched.namespace, "a")
        assert found is not None
        assert (found.type, found.metadata.name) == ("example.dev/kind", "a")
        kubectl(*make, "b")
        await eventually(lambda: cache.objects.get(watched.namespace, "b"))
        later = cache.objects.get(watched.namespace, "b")
        assert later is not None
        assert later.type == "Opaque"
        assert all("as=Table" in each.headers["Accept"] for each in watched.proxy.requests)


async def test_custom_resources_and_the_end_of_their_definition(open_cache: Open, kubectl: Kubectl) -> None:
    plural = f"things{secrets.token_hex(3)}"
    things = Resource(plural, "Thing", Record, group=GROUP)
    kubectl.apply(definition(plural))
    try:
        kubectl("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}")
        async with open_cache() as watched:
            thing = {"apiVersion": f"{GROUP}/v1", "kind": plural.capitalize()}
            kubectl.apply({**thing, "metadata": {"name": "a", "namespace": watched.namespace, "labels": {"x": "y"}}})
            cache = await watched.caches.ready(watched.connection, things)
            assert [each.metadata.labels for each in cache.objects] == [{"x": "y"}]
            kubectl("delete", "crd", f"{plural}.{GROUP}")
            await eventually(lambda: cache.age_s)
            with pytest.raises(NotFound):
                await watched.caches.ready(watched.connection, things)
    finally:
        kubectl("delete", "crd", f"{plural}.{GROUP}", "--ignore-not-found")


def definition(plural: str) -> dict[str, object]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural, "kind": plural.capitalize()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.mark.thorough
@pytest.mark.timeout(200)
async def test_an_api_server_that_restarts(open_cache: Open, kubectl: Kubectl) -> None:
    """The same objects throughout, never fewer; what happened after the restart arrives by itself."""
    async with open_cache(WatchSettings(stale_s=150)) as watched:
        create(kubectl, watched.namespace, "a", "b")
        cache = await watched.ready()
        restart = await asyncio.create_subprocess_exec(sys.executable, "-m", "dev.cluster", "restart-control")
        try:
            async with asyncio.timeout(150):
                while restart.returncode is None:
                    assert await watched.names() >= {"a", "b"}
                    await asyncio.wait([asyncio.ensure_future(restart.wait())], timeout=0.1)
        finally:
            assert await restart.wait() == 0
        create(kubectl, watched.namespace, "c")
        await watched.until(lambda names: names >= {"a", "b", "c"})
        await eventually(lambda: not cache.age_s)
