"""Everything that routes call, made once when the server starts and closed when it ends.

A new service gets a field here and is opened in `open_services`; a route asks for `Services` by the type `InServices`
and reads the field. Order matters: what is opened later may use what was opened before, and is closed first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from ksnap.checkpoints.doctor import Doctor
from ksnap.checkpoints.engine import EngineSettings
from ksnap.checkpoints.feed import ProgressFeed
from ksnap.checkpoints.images import Images
from ksnap.checkpoints.node_images import NodeImages
from ksnap.checkpoints.opening import Parts, open_checkpoints
from ksnap.checkpoints.retention.garbage import Collector
from ksnap.checkpoints.retention.rounds import Retention
from ksnap.checkpoints.service import Checkpoints
from ksnap.configuration.clusters import Clusters
from ksnap.configuration.registries import Registries
from ksnap.configuration.signing import open_signing_key
from ksnap.configuration.token_reviews import ClusterReviews
from ksnap.dashboard.csrf import CsrfTokens
from ksnap.dashboard.integrations import Integrations
from ksnap.dashboard.live.pace import Pace
from ksnap.dashboard.metrics.history import History
from ksnap.dashboard.metrics.providers import ProviderOptions, Providers
from ksnap.dashboard.metrics.service import Metrics
from ksnap.dashboard.page_settings import PageSettings
from ksnap.dashboard.selection.lists import Lists
from ksnap.dashboard.service import Dashboard
from ksnap.dashboard.terminal.opening import Terminals
from ksnap.dashboard.terminal.sessions import terminal_sessions
from ksnap.dashboard.terminal.settings import TerminalSettings
from ksnap.dashboard.writes.drains import Drains, open_drains
from ksnap.errors import InvalidInput
from ksnap.hooks.service import Hooks, HookSettings, open_hooks
from ksnap.identity.agents import Agents
from ksnap.identity.limits import Limits, MemoryCounters, SharedCounters
from ksnap.identity.logins import Lockout, Logins
from ksnap.identity.passwords import PasswordRule, Passwords
from ksnap.identity.tokens import open_tokens
from ksnap.identity.users import Users
from ksnap.kube.connections import ClusterConnections
from ksnap.kube.watch.cache import WatchSettings
from ksnap.kube.watch.caches import WatchCaches
from ksnap.oci.signing_keys import SigningKey
from ksnap.server.connections import OpenConnections
from ksnap.settings import CSRF_KEY_BYTES, ServerSettings, decoded_csrf_key
from ksnap.store.blobs import Blobs, open_blobs
from ksnap.store.database import Database, open_database
from ksnap.store.encryption import Vault, open_vault
from ksnap.store.migrate import migrate_apart
from ksnap.store.only_server import only_server
from ksnap.store.server_locks import ServerLocks, open_server_locks
from ksnap.watchers.acting import Acting
from ksnap.watchers.claims import Claims
from ksnap.watchers.deleting import Deleting
from ksnap.watchers.events import WatcherEvents
from ksnap.watchers.leases import Leases
from ksnap.watchers.records import WatcherRecords
from ksnap.watchers.service import Watchers, open_watchers

JOBS_GRACE_S = 5.0
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one server process."""

    settings: ServerSettings
    database: Database
    vault: Vault
    blobs: Blobs
    users: Users
    logins: Logins
    agents: Agents
    limits: Limits
    registries: Registries
    clusters: Clusters
    connections: ClusterConnections
    signing_key: SigningKey
    checkpoints: Checkpoints
    images: Images
    doctor: Doctor
    node_images: NodeImages
    progress: ProgressFeed
    progress_connections: OpenConnections
    log_connections: OpenConnections
    retention: Retention
    garbage: Collector
    dashboard: Dashboard
    metrics: Metrics
    live_connections: OpenConnections
    live_pace: Pace
    integrations: Integrations
    lists: Lists
    csrf: CsrfTokens
    drains: Drains
    page_settings: PageSettings
    terminals: Terminals
    hooks: Hooks
    watchers: Watchers


@asynccontextmanager
async def open_services(settings: ServerSettings, announce: Announce) -> AsyncIterator[Services]:
    """Make everything; `announce` shows the one-time password, if there is one, to who started the server."""
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(_make_folder, settings.data_dir)
        if not settings.uses_postgresql:
            lock = only_server(settings.data_dir, patience_s=settings.database_timeout_s)
            await asyncio.to_thread(stack.enter_context, lock)
        await asyncio.to_thread(migrate_apart, settings.resolved_database_url)
        locks = await stack.enter_async_context(_locks(settings)) if settings.uses_postgresql else None
        vault = await asyncio.to_thread(open_vault, settings)
        tokens = await asyncio.to_thread(open_tokens, settings)
        signing_key = await asyncio.to_thread(open_signing_key, settings)
        blobs = await asyncio.to_thread(open_blobs, settings.resolved_blob_store_url)
        database = open_database(settings.resolved_database_url, timeout_s=settings.database_timeout_s)
        clusters = Clusters(database, vault, agent_namespace=settings.agent_namespace)
        registries = Registries(database, vault)
        connections = ClusterConnections(clusters.config)
        stack.push_async_callback(database.close)
        stack.push_async_callback(connections.close)
        passwords = Passwords()
        users = Users(
            database,
            passwords,
            PasswordRule(settings.password_min_length, needs_classes=settings.password_needs_classes),
        )
        one_time = await users.ensure_first_administrator(await asyncio.to_thread(settings.first_password))
        if one_time is not None:
            announce(one_time.get_secret_value())
        counters = SharedCounters(database) if database.is_postgresql else MemoryCounters()
        opened = await stack.enter_async_context(
            open_checkpoints(
                Parts(database, vault, blobs, registries, clusters, connections, signing_key),
                EngineSettings(
                    settings.resolved_jobs_database_url,
                    settings.resolved_server_id,
                    # Requests that wait for a job had their whole grace before; what is left goes on at the next start.
                    grace_s=min(JOBS_GRACE_S, settings.shutdown_grace_s),
                    keep_jobs=timedelta(days=settings.keep_jobs_days),
                    locks=locks,
                ),
                dump_timeout_s=settings.dump_timeout_s,
                agent_namespace=settings.agent_namespace,
            )
        )
        await stack.enter_async_context(_running(opened.retention.keep_rounds(settings.retention_interval_s)))
        stack.push_async_callback(opened.retention.close)
        dashboard = Dashboard(clusters, connections, settings.default_cluster)
        stack.push_async_callback(dashboard.close)
        providers = Providers(_provider_options(settings))
        stack.push_async_callback(providers.close)
        metrics = await stack.enter_async_context(
            Metrics(connections, providers.sources, History(database), check_s=settings.metric_client_check_period_s)
        )
        watches = await stack.enter_async_context(
            WatchCaches(
                WatchSettings(
                    idle_s=settings.watch_idle_s, fill_s=settings.watch_fill_s, stale_s=settings.watch_stale_s
                )
            )
        )
        drains = await stack.enter_async_context(open_drains(database, settings.resolved_server_id))
        sessions = await stack.enter_async_context(terminal_sessions(_terminals(settings)))
        hooks = await stack.enter_async_context(
            open_hooks(database, vault, registries, connections=connections, caches=watches, settings=_hooks(settings))
        )
        opened.records.listeners.append(hooks.catalog.tell)
        watchers = await stack.enter_async_context(
            open_watchers(
                Watchers(
                    _watchers(settings, opened.checkpoints, Deleting(registries, hooks)),
                    clusters,
                    watches,
                    own_namespace=settings.agent_namespace,
                    leases=_leases(settings, database),
                )
            )
        )
        yield Services(
            settings=settings,
            database=database,
            vault=vault,
            blobs=blobs,
            users=users,
            logins=Logins(database, passwords, tokens, Lockout(settings.lockout_failures, settings.lockout_s)),
            agents=Agents(
                ClusterReviews(clusters, connections),
                namespace=settings.agent_namespace,
                service_account=settings.agent_service_account,
            ),
            limits=Limits(counters, settings),
            registries=registries,
            clusters=clusters,
            connections=connections,
            signing_key=signing_key,
            checkpoints=opened.checkpoints,
            images=opened.images,
            doctor=opened.doctor,
            node_images=opened.node_images,
            progress=opened.progress,
            progress_connections=OpenConnections(settings.progress_connections, settings.progress_connections_user),
            log_connections=OpenConnections(settings.log_connections, settings.log_connections_user),
            retention=opened.retention,
            garbage=opened.garbage,
            dashboard=dashboard,
            metrics=metrics,
            live_connections=OpenConnections(settings.live_connections, settings.live_connections_user),
            live_pace=Pace(),
            integrations=Integrations(providers.integrations),
            lists=Lists(watches, metrics),
            csrf=CsrfTokens(
                decoded_csrf_key(settings.csrf_key)
                if settings.csrf_key is not None
                else tokens.derived_key("csrf", CSRF_KEY_BYTES),
                required=not settings.disable_csrf,
            ),
            drains=drains,
            page_settings=PageSettings(database),
            terminals=Terminals(sessions, database),
            hooks=hooks,
            watchers=watchers,
        )


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on as long as the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _locks(settings: ServerSettings) -> AbstractAsyncContextManager[ServerLocks]:
    return open_server_locks(
        settings.resolved_database_url, settings.resolved_server_id, patience_s=settings.database_timeout_s
    )


def _provider_options(settings: ServerSettings) -> ProviderOptions:
    return ProviderOptions(
        settings.metrics_provider,
        settings.prometheus_urls,
        settings.prometheus_matchers,
        settings.prometheus_ca_file,
        settings.prometheus_token_file,
    )


def _hooks(settings: ServerSettings) -> HookSettings:
    life_s = settings.hook_certificate_life_s
    return HookSettings(
        settings.hook_host,
        settings.hook_port,
        settings.hook_address,
        timedelta(seconds=life_s) if life_s else None,
        follow_tags=settings.hook_follow_tags,
    )


def _terminals(settings: ServerSettings) -> TerminalSettings:
    return TerminalSettings(
        idle_s=settings.terminal_idle_s,
        sessions_token=settings.terminal_sessions_token,
        sessions=settings.terminal_sessions,
        further_shells=settings.terminal_shells,
        debug_image=settings.terminal_debug_image,
    )


def _watchers(settings: ServerSettings, checkpoints: Checkpoints, deleting: Deleting) -> Acting:
    database = checkpoints.database
    return Acting(
        checkpoints,
        Claims(database, first_pause=timedelta(seconds=settings.watcher_retry_s)),
        WatcherEvents(database),
        WatcherRecords(database),
        deleting,
    )


def _leases(settings: ServerSettings, database: Database) -> Leases | None:
    """None where no other server can share the database."""
    if not settings.uses_postgresql:
        return None
    return Leases(database, settings.resolved_server_id, lease_s=settings.watcher_lease_s)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            "The data folder cannot be used",
            details=f"{folder}: {error.strerror}",
            hint="Give another one with --data-dir or KSNAP_DATA_DIR",
        ) from error


def services_of(connection: HTTPConnection) -> Services:
    """The services, for a route: of a request or of a WebSocket."""
    return cast(Services, connection.scope["app"].state.services)


InServices = Annotated[Services, Depends(services_of)]
