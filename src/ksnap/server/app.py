"""Puts the server together: routes, the one set of error handlers, the layers around every request, the lifespan.

`create_app` only builds; what acts (database, keys, first administrator, jobs) begins in the lifespan. Each room of
routes is one router, included in `ROUTERS`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from ksnap import __version__
from ksnap.errors import KsnapError
from ksnap.server import failures
from ksnap.server.metrics import RequestMetrics
from ksnap.server.middleware.admission import Admission, Standing
from ksnap.server.middleware.body import BodyLimit
from ksnap.server.middleware.context import RequestContext
from ksnap.server.middleware.cors import Cors
from ksnap.server.middleware.dashboard_log import DashboardLog
from ksnap.server.middleware.slash import TrailingSlash
from ksnap.server.middleware.unexpected import Unexpected
from ksnap.server.proxies import TrustedProxies
from ksnap.server.routes import dashboard, health, prometheus
from ksnap.server.routes.dashboard import terminal_sockjs
from ksnap.server.routes.snap import (
    automation,
    checkpoint,
    checkpoint_download,
    checkpoint_nodes,
    cluster,
    clusters,
    doctor,
    jobs,
    operator,
    progress,
    registries,
    registry_login,
    registry_push,
    retention,
    signing,
    snaphook,
    users,
)
from ksnap.server.services import Announce, open_services
from ksnap.settings import ServerSettings

_log = structlog.get_logger(__name__)

# What a page of another origin may read beside the few headers that browsers always show.
_EXPOSED = (
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "Deprecation",
    "ETag",
    "Warning",
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    prometheus.router,
    users.router,
    registries.router,
    registry_login.router,
    signing.router,
    clusters.router,
    cluster.router,
    doctor.router,
    checkpoint_download.router,
    checkpoint_nodes.router,
    retention.router,
    checkpoint.router,
    registry_push.router,
    jobs.router,
    operator.router,
    automation.router,
    progress.router,
    snaphook.router,
)


def create_app(settings: ServerSettings, announce: Announce | None = None) -> FastAPI:
    """The server as an ASGI application. `announce` shows the first administrator's one-time password."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_services(settings, announce or announce_on_stderr) as services:
                app.state.services = services
                services.hooks.metrics.register(app.state.metrics.registry)
                yield
        except KsnapError as error:
            _log.error("server_failed", error=error.message, details=error.details, hint=error.hint)
            raise

    app = FastAPIOffline(
        title="ksnap",
        version=__version__,
        description="Freeze a ready pod, start every later one from it.",
        lifespan=lifespan,
        redirect_slashes=False,  # a path is known or not; a redirect would repeat whatever Host header came
    )
    app.state.metrics = RequestMetrics()
    failures.install(app)
    dashboard.include(app)  # first: its pages ask most often, and it knows at once what is not for it
    for router in ROUTERS:
        app.include_router(router)
    terminal_sockjs.mount(app, settings)
    _wrap(app, settings)
    return app


def _wrap(app: FastAPI, settings: ServerSettings) -> None:
    """The layers, from the innermost out."""
    app.add_middleware(TrailingSlash)
    app.add_middleware(Unexpected)
    app.add_middleware(BodyLimit, limit_bytes=settings.body_limit_bytes)
    if settings.dashboard_log_level != "NONE":
        proxies = TrustedProxies(settings.trusted_proxies)
        app.add_middleware(DashboardLog, level=settings.dashboard_log_level, proxies=proxies)
    app.add_middleware(Admission)
    if settings.allowed_origins:
        app.add_middleware(
            Cors,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(Standing)
    app.add_middleware(RequestContext, trusted_proxies=settings.trusted_proxies, metrics=app.state.metrics)


def announce_on_stderr(password: str) -> None:
    """Shown once, where only who started the server looks; never through the log, which is kept."""
    sys.stderr.write(
        f"\nFirst start: log in as 'admin' with the one-time password {password}\n"
        "It is shown this once and must be changed at the first login.\n\n"
    )
    sys.stderr.flush()
