"""The agent's entrance: puts the parts together, serves until SIGTERM or SIGINT, leaves a journal that says it all."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from ksnap import __version__
from ksnap.agent.api_server import ApiServer, ServiceAccount
from ksnap.agent.authority import Authority
from ksnap.agent.captures import Captures
from ksnap.agent.certificate import serving_context
from ksnap.agent.criu_options import apply_options, take_back_options
from ksnap.agent.direct_freeze import DirectFreezes
from ksnap.agent.images import Images
from ksnap.agent.kubelet import Kubelet
from ksnap.agent.pod_events import PodEvents
from ksnap.agent.pod_watch import PodWatch
from ksnap.agent.probe import Probe
from ksnap.agent.pull_accounts import PullAccounts
from ksnap.agent.report import Reporter
from ksnap.agent.reporting import post_reports
from ksnap.agent.restore_socket import RestoreSocket
from ksnap.agent.restores import Restores
from ksnap.agent.service import Service
from ksnap.agent.settings import AgentSettings
from ksnap.agent.start_records import tell_untold

log = structlog.get_logger()

_CRIU_OPTIONS_EVERY_S = 20.0


def run(settings: AgentSettings) -> None:
    """Serve until told to end."""
    configure_logs(settings.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: AgentSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    account = ServiceAccount(settings.service_account_dir)
    kubelet = Kubelet(settings, account)
    probe = Probe(settings, kubelet)
    async with AsyncExitStack() as stack:
        api_server = await stack.enter_async_context(ApiServer(settings, account))
        reporter = Reporter(settings, api_server, probe)
        await asyncio.to_thread(_set_criu_options, settings)
        stack.callback(_take_back_criu_options, settings)
        captures = await stack.enter_async_context(Captures(settings, kubelet))
        images = await stack.enter_async_context(Images(settings))
        events = PodEvents(api_server, settings.node_name)
        accounts = PullAccounts(settings, api_server) if settings.prefetch else None
        restores = Restores(settings, images, events, accounts)
        await restores.open()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(reporter.watch(), name="watch node"),
            group.create_task(_keep_criu_options(settings), name="keep CRIU options"),
            group.create_task(events.run(), name="tell events"),
            group.create_task(tell_untold(settings.runtime_records_dir, events), name="tell untold starts"),
        ]
        if settings.prefetch:
            if not settings.cluster_name or settings.trusted_keys_dir is None:
                log.warning("prefetch_is_idle", reason="cluster_name or trusted_keys_dir is not set")
            watch = PodWatch(api_server, settings.node_name, restores.sightings)
            tasks.append(group.create_task(watch.run(), name="watch pods"))
        if settings.server_url:
            tasks.append(group.create_task(post_reports(settings, reporter, account), name="post reports"))
        authority = Authority(api_server, settings.node_name, remember_s=settings.review_cache_s, now=time.monotonic)
        runner = await _listen(settings, Service(settings, authority, captures, reporter, restores))
        async with _restore_socket(settings, restores, captures.freezes):
            log.info("agent_started", version=__version__, node=settings.node_name, port=settings.listen_port)
            await stop.wait()
            log.info("agent_stopping")
        for task in tasks:
            task.cancel()
        # Streams of events end with their captures: those are interrupted first, else the runner waits for them.
        await captures.interrupt()
        await images.interrupt()
        await runner.cleanup()
    log.info("agent_stopped")


@asynccontextmanager
async def _restore_socket(settings: AgentSettings, restores: Restores, freezes: DirectFreezes) -> AsyncIterator[None]:
    """The runtime's socket. Where its folder is not to be had the agent does all else: containers start cold there."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(RestoreSocket(settings.socket_path, restores, freezes))
        except OSError as exc:
            log.warning("restore_socket_not_opened", reason=exc.strerror or str(exc), path=str(settings.socket_path))
        yield


async def _listen(settings: AgentSettings, service: Service) -> web.AppRunner:
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=settings.shutdown_grace_s)
    await runner.setup()
    context = await serving_context(settings.node_name)
    await web.TCPSite(runner, settings.listen_host or None, settings.listen_port, ssl_context=context).start()
    return runner


def _wanted_criu_options(settings: AgentSettings) -> list[str]:
    options = {"tcp-close": settings.criu_tcp_close, "skip-in-flight": settings.criu_skip_in_flight}
    return [name for name, wanted in options.items() if wanted]


async def _keep_criu_options(settings: AgentSettings) -> None:
    """Look now and then whether the options are still in force: a person or a package may rewrite the file."""
    while _wanted_criu_options(settings):
        await asyncio.sleep(_CRIU_OPTIONS_EVERY_S)
        await asyncio.to_thread(_set_criu_options, settings)


def _set_criu_options(settings: AgentSettings) -> None:
    """Write what is asked for; take back what a former agent wrote and nobody asks for now."""
    wanted, folder = _wanted_criu_options(settings), settings.criu_config_dir
    if not folder.is_dir():
        if wanted:
            log.error("criu_options_not_set", reason="folder is not mounted", folder=str(folder))
        return
    try:
        changed = apply_options(folder, wanted) if wanted else take_back_options(folder)
    except OSError as exc:
        log.warning("criu_options_not_set", reason=exc.strerror, folder=str(folder))
        return
    if changed:
        log.info("criu_options_set", options=wanted)


def _take_back_criu_options(settings: AgentSettings) -> None:
    """At an orderly end the node is as it was before."""
    if not _wanted_criu_options(settings):
        return
    try:
        take_back_options(settings.criu_config_dir)
        log.info("criu_options_taken_back")
    except OSError as exc:
        log.warning("criu_options_not_taken_back", reason=exc.strerror)


def configure_logs(level: str) -> None:
    """One JSON object a line on stdout, where the kubelet takes it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
