"""Hooks as users have them: made, started, stopped, tested, removed. Again is harmless; the wish outlives a restart."""

import asyncio
import ssl
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
import msgspec

from ksnap.configuration.checks import invalid
from ksnap.configuration.registries import Registries
from ksnap.errors import ClusterConnectionFailed, KsnapError
from ksnap.hooks import configuration
from ksnap.hooks.admission import Admission, AdmissionMetrics
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.keeper import Keeper
from ksnap.hooks.listener import Listener
from ksnap.hooks.node_facts import NodeFacts
from ksnap.hooks.records import Hook, HookRecords, HookState
from ksnap.hooks.tags import Tags
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.watch.caches import WatchCaches
from ksnap.store.database import Database
from ksnap.store.encryption import Vault

TEST_S = 5.0
RESERVED = "list"
_TEST_UID = "ksnap-test-connectivity"


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Where hooks are served."""

    host: str
    port: int
    address: str = ""
    """By which API servers reach it, for hooks without a URL of their own."""
    certificate_life: timedelta | None = None
    follow_tags: bool = True


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test of the way from here to a hook and of its configuration has found."""

    reached: bool
    """By TLS, verified by the authorities that the cluster was given, and answered as an admission."""
    problem: str
    """Why not; empty if it was."""
    differences: list[str]
    """Fields of the cluster's configuration that are not as they should be; `missing` if there is none."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of one installation. Made by `open_hooks`."""

    records: HookRecords
    keeper: Keeper
    connections: ClusterConnections
    catalog: Catalog
    metrics: AdmissionMetrics
    settings: HookSettings

    async def create(self, by: Principal, hook: Hook) -> Hook:
        """Store it, with a certificate, not started. An empty `url` is the default one."""
        async with audited(self.records.database, by, "snaphook_created", hook.name):
            if hook.name == RESERVED:
                raise invalid("name", f"{hook.name!r} is reserved")
            wanted = replace(hook, url=checked_url(hook.url or self._default_url(hook.name)))
            await self.records.create(wanted)
            return await self.keeper.certified(await self.records.get(hook.name))

    async def list(self) -> list[Hook]:
        return await self.records.all()

    async def get(self, name: str) -> Hook:
        return await self.records.get(name)

    async def start(self, by: Principal, name: str) -> Hook:
        """Serve it, then install its configuration."""
        async with audited(self.records.database, by, "snaphook_started", name):
            before = (await self.records.get(name)).state
            await self.records.become(name, HookState.RUNNING)
            try:
                await self.keeper.attend(name)
            except KsnapError:
                if before is HookState.STOPPED:
                    await self.records.become(name, before, only_from=HookState.RUNNING)
                    await self.keeper.refresh()
                raise
            return await self.records.get(name)

    async def stop(self, by: Principal, name: str) -> Hook:
        """Remove its configuration, then serve it no more. If its cluster is away, that is tried until it answers."""
        async with audited(self.records.database, by, "snaphook_stopped", name):
            await self._stop(await self.records.get(name))
            return await self.records.get(name)

    async def delete(self, by: Principal, name: str) -> str:
        """Stop and forget it. The answer says what is left in a cluster that is away; its pods start as before."""
        left = ""
        async with audited(self.records.database, by, "snaphook_deleted", name):
            hook = await self.records.get(name)
            try:
                await self._stop(hook)
            except ClusterConnectionFailed as error:
                left = f"{(await self.keeper.webhook(hook)).name} could not be removed: {error.message}"
            await self.records.remove(name)
            await self.keeper.refresh()
        return left

    async def renew(self, by: Principal, name: str) -> Hook:
        """A new certificate now, whatever is left of the present one."""
        async with audited(self.records.database, by, "snaphook_certificates_renewed", name):
            renewed = await self.keeper.certified(await self.records.get(name), anew=True)
            await self.keeper.refresh()
            return renewed

    async def test(self, name: str) -> Tested:
        """Call it as an API server would, and compare its configuration."""
        hook = await self.records.get(name)
        webhook = await self.keeper.webhook(hook)
        found = await configuration.installed(await self.connections.get(hook.cluster), webhook.name)
        if found is None:
            problem = await _called(hook, webhook.ca_bundle_pem)
            return Tested(not problem, problem, ["missing"])
        try:
            bundle = b64decode(found["webhooks"][0]["clientConfig"]["caBundle"], validate=True).decode()
        except (LookupError, TypeError, NotBase64, UnicodeDecodeError):
            bundle = ""
        problem = await _called(hook, bundle)
        return Tested(not problem, problem, configuration.differences(found, webhook))

    def covers(self, cluster: str, namespace: str) -> bool:
        """Whether a running hook looks at a namespace's new pods, as of a second ago."""
        return any(
            each.is_running and each.cluster == cluster and namespace not in each.skipped_namespaces
            for each in self.keeper.hooks
        )

    async def _stop(self, hook: Hook) -> None:
        if hook.state is HookState.STOPPED:
            return
        await self.records.become(hook.name, HookState.STOPPING)
        await self.keeper.remove_configuration(hook)
        await self.records.become(hook.name, HookState.STOPPED, only_from=HookState.STOPPING)
        await self.keeper.refresh()

    def _default_url(self, name: str) -> str:
        address = self.settings.address
        if not address:
            raise invalid("webhook_url", "Field required", hint="Or set the server's hook_address")
        has_port = urlsplit(f"//{address}").port is not None
        return f"https://{address}{'' if has_port else f':{self.settings.port}'}/mutate/{name}"


def checked_url(url: str) -> str:
    """A URL that Kubernetes takes for a webhook (admissionregistration.k8s.io/v1, WebhookClientConfig.url)."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for one that is none
    except ValueError as error:
        raise invalid("webhook_url", "it is no URL") from error
    if parts.scheme != "https" or not parts.hostname:
        raise invalid("webhook_url", "it does not begin with https://HOST", hint="Write https://HOST[:PORT]/PATH")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise invalid("webhook_url", "it has a user, a query or a fragment, which Kubernetes forbids")
    return url


async def _called(hook: Hook, bundle_pem: str) -> str:
    """Ask a hook about a pod that has not opted in; what is wrong with the answer, or nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    request = {"uid": _TEST_UID, "operation": "CREATE", "namespace": "default", "dryRun": True, "object": {}}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    try:
        context.load_verify_locations(cadata=bundle_pem)
        timeout = aiohttp.ClientTimeout(total=TEST_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(hook.url, json=body, ssl=context, allow_redirects=False) as response,
        ):
            content = await response.content.read(1 << 16)
            if response.status != 200:
                return f"it answers {response.status}"
            answer = msgspec.json.decode(content, type=dict)["response"]
            is_ours = answer["uid"] == _TEST_UID and answer["allowed"] is True
            return "" if is_ours else "it answers as no admission hook does"
    except TimeoutError:
        return f"no answer within {TEST_S:g} s"
    except (aiohttp.ClientError, ssl.SSLError, ValueError) as error:
        return str(error)[:300] or type(error).__name__
    except (msgspec.DecodeError, LookupError, TypeError):
        return "it answers as no admission hook does"


@asynccontextmanager
async def open_hooks(
    database: Database,
    vault: Vault,
    registries: Registries,
    *,
    connections: ClusterConnections,
    caches: WatchCaches,
    settings: HookSettings,
) -> AsyncIterator[Hooks]:
    """The room, at work. Its end leaves the configurations in the clusters: a restart is none of theirs."""
    tags = Tags(registries, enabled=settings.follow_tags)
    catalog = Catalog(database, tags)
    nodes = NodeFacts(caches, connections, database)
    metrics = AdmissionMetrics()
    admission = Admission(catalog, nodes.of, metrics)
    listener = Listener(settings.host, settings.port, admission)
    records = HookRecords(database, vault)
    keeper = Keeper(records, connections, admission, listener, nodes, certificate_life=settings.certificate_life)
    await catalog.look()
    work = [asyncio.create_task(each) for each in (catalog.run(), tags.run(), keeper.run())]
    try:
        yield Hooks(records, keeper, connections, catalog, metrics, settings)
    finally:
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await listener.close()
