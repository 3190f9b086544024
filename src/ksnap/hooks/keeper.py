"""The task that keeps hooks as they should be: served, with a valid certificate, installed in their clusters.

Several servers do this side by side over one database. Certificates are renewed by compare-and-set, so that all show
the same. A new authority goes into each cluster's configuration first, and signs for a hook only once that has settled.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ssl import SSLContext

import structlog

from ksnap.errors import KsnapError, Unavailable
from ksnap.hooks import configuration
from ksnap.hooks.admission import Admission
from ksnap.hooks.certificates import Pair, covers, load_pair, new_authority, new_leaf
from ksnap.hooks.configuration import Webhook
from ksnap.hooks.listener import Listener, context_of
from ksnap.hooks.node_facts import NodeFacts
from ksnap.hooks.records import Authority, Hook, HookRecords, HookState
from ksnap.kube.connections import ClusterConnections

LOOK_S = 1.0
AFTER_FAILURE_S = 5.0
# What somebody else changed in a cluster, and what changed of its nodes' abilities, is seen within this.
ATTEND_EVERY_S = 15.0
# From a configuration's change until every API server of a cluster goes by it.
SETTLES_S = 10.0

log = structlog.get_logger(__name__)


class Keeper:
    """`run` is its task; `refresh` and `attend` are also the service's, to have it done now."""

    def __init__(
        self,
        records: HookRecords,
        connections: ClusterConnections,
        admission: Admission,
        listener: Listener,
        nodes: NodeFacts,
        *,
        certificate_life: timedelta | None = None,
    ) -> None:
        self._records = records
        self._connections = connections
        self._admission = admission
        self._listener = listener
        self._nodes = nodes
        self._life = certificate_life
        self._hooks: list[Hook] = []
        self._contexts: dict[tuple[str, int], SSLContext] = {}
        self._attended: dict[str, float] = {}
        self._applied: dict[str, tuple[str, float]] = {}
        """By hook: the authorities that its configuration names, and since when this process knows."""
        self._lock = asyncio.Lock()

    @property
    def hooks(self) -> Sequence[Hook]:
        """As they were at the last look."""
        return self._hooks

    async def run(self) -> None:
        """For ever. What fails is tried again."""
        while True:
            pause = LOOK_S
            try:
                await self.refresh()
                await self._attend_all()
            except KsnapError as error:
                pause = AFTER_FAILURE_S
                log.warning("hooks_not_kept", error=error.message, details=error.details)
            except Exception:
                pause = AFTER_FAILURE_S
                log.exception("hooks_keeper_crashed")  # the root of this work: its end would be every hook's
            await asyncio.sleep(pause)

    async def refresh(self) -> None:
        """Serve what is to be served, with the certificates that are stored."""
        async with self._lock:
            self._hooks = await self._records.all()
            served = [each for each in self._hooks if each.is_served]
            await self._show([each for each in served if each.certificate_version])
            self._admission.serve(served)
            self._nodes.forget(set(self._nodes.clusters) - {each.cluster for each in served})
            if served:
                await self._listener.open()
            else:
                await self._listener.close()

    async def attend(self, name: str) -> None:
        """Have one hook's certificate and configuration right, now; KsnapError if its cluster does not answer."""
        hook = await self.certified(await self._records.get(name))
        await self.refresh()
        if hook.is_running:
            await self._nodes.keep(hook.cluster)
            await self._apply(hook)
        self._attended[name] = time.monotonic()

    async def certified(self, hook: Hook, *, anew: bool = False) -> Hook:
        """The hook with a certificate that is valid for its hosts: as it was, or renewed if that is due."""
        authority = await self._authority()
        hosts = hosts_of(hook, await self._records.all())
        now = datetime.now(UTC)
        leaf = hook.certificate
        if not anew and leaf is not None and not leaf.is_due(now) and covers(leaf, authority.pair, hosts):
            return hook
        if hook.is_served and not await self._is_trusted(hook, authority):
            return hook
        life = self._life or timedelta(days=hook.cert_expiry_days)
        made = await asyncio.to_thread(new_leaf, authority.pair, hosts, now, life)
        if await self._records.put_certificate(hook, made):
            log.info("hook_certificate_renewed", hook=hook.name, until=made.not_after.isoformat())
        return await self._records.get(hook.name)

    async def remove_configuration(self, hook: Hook) -> None:
        connection = await self._connections.get(hook.cluster)
        await configuration.remove(connection, (await self.webhook(hook)).name)
        self._applied.pop(hook.name, None)

    async def webhook(self, hook: Hook) -> Webhook:
        """What its configuration in the cluster has to say."""
        bundle = (await self._authority()).bundle_pem
        return Webhook(hook.name, hook.cluster, hook.url, bundle, hook.namespace, hook.wait_s)

    async def _attend_all(self) -> None:
        for hook in list(self._hooks):
            if not hook.is_served:
                continue
            leaf = hook.certificate
            due = leaf is None or leaf.is_due(datetime.now(UTC))
            last = self._attended.get(hook.name)
            if not due and last is not None and time.monotonic() - last < ATTEND_EVERY_S:
                continue
            self._attended[hook.name] = time.monotonic()
            try:
                await (self.attend(hook.name) if hook.is_running else self._finish_stop(hook))
            except KsnapError as error:
                log.warning("hook_not_kept", hook=hook.name, error=error.message, details=error.details)

    async def _finish_stop(self, hook: Hook) -> None:
        """Its configuration could not be removed when it was told to stop."""
        await self.remove_configuration(hook)
        await self._records.become(hook.name, HookState.STOPPED, only_from=HookState.STOPPING)

    async def _apply(self, hook: Hook) -> None:
        webhook = await self.webhook(hook)
        connection = await self._connections.get(hook.cluster)
        await configuration.apply(connection, webhook)
        bundle, _ = self._applied.get(hook.name, ("", 0.0))
        if bundle != webhook.ca_bundle_pem:
            self._applied[hook.name] = webhook.ca_bundle_pem, time.monotonic()
        if not (await self._records.get(hook.name)).is_running:  # stopped meanwhile, maybe by another server
            await configuration.remove(connection, webhook.name)

    async def _is_trusted(self, hook: Hook, authority: Authority) -> bool:
        """Whether the hook's cluster knows the authority, so that it may sign what is shown there.

        One that never had a predecessor is in every configuration that ever was.
        """
        if not authority.former_pem:
            return True
        bundle, since = self._applied.get(hook.name, ("", 0.0))
        if bundle != authority.bundle_pem:
            await self._apply(hook)
            return False
        return time.monotonic() - since >= SETTLES_S

    async def _authority(self) -> Authority:
        found = await self._records.authority()
        now = datetime.now(UTC)
        if found is None or found.pair.is_due(now):
            if await self._records.put_authority(found, await asyncio.to_thread(new_authority, now)):
                log.info("hook_authority_made", renewed=found is not None)
            found = await self._records.authority()
        if found is None:
            raise Unavailable("The hooks' authority is not stored", hint="Try again in a moment")
        return found

    async def _show(self, hooks: Sequence[Hook]) -> None:
        """Put the certificates of these hooks in front; those that are known already cost nothing."""
        kept: dict[tuple[str, int], SSLContext] = {}
        for each in hooks:
            key = each.name, each.certificate_version
            kept[key] = self._contexts[key] if key in self._contexts else await asyncio.to_thread(self._context, each)
        self._contexts = kept
        newest = sorted(hooks, key=_begins)
        by_name = {host: kept[each.name, each.certificate_version] for each in newest for host in names_of(each)}
        default = kept[newest[-1].name, newest[-1].certificate_version] if newest else None
        self._listener.contexts.put(by_name, default)

    def _context(self, hook: Hook) -> SSLContext:
        return context_of(load_pair(hook.certificate_pem, self._records.key_pem(hook)))


def _begins(hook: Hook) -> tuple[datetime, str]:
    leaf: Pair = load_pair(hook.certificate_pem, "")
    return leaf.not_before, hook.name


def names_of(hook: Hook) -> list[str]:
    """The host of its URL, and its server's Service."""
    return list(dict.fromkeys((hook.host, f"snaphook.{hook.namespace}.svc")))


def hosts_of(hook: Hook, hooks: Sequence[Hook]) -> list[str]:
    """What a hook's certificate is for. A client that calls an address names none in its handshake, and may be shown
    any hook's certificate: so the addresses of all stand in each."""
    others = sorted({each.host for each in hooks if is_address(each.host)} - {hook.host})
    return [*names_of(hook), *others]


def is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
