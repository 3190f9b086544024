"""The dashboard's routes (contract dashboard-api, section 14). `ROUTERS` is all of them, with paths below /api/v1.

Each is served for the default cluster at /api/v1/..., and for a named one at /clusters/{cluster}/api/v1/...
"""

from fastapi import APIRouter, FastAPI

from ksnap.server.routes.dashboard import (
    access,
    appdeployment,
    cluster,
    config,
    creations,
    custom,
    exports,
    integrations,
    jobs,
    lists,
    live,
    log_follow,
    logs,
    network,
    nodes,
    older_login,
    page_settings,
    pod_files,
    pods,
    raw,
    rollouts,
    scale,
    scaling,
    session,
    storage,
    terminal,
    workloads,
)
from ksnap.server.routes.dashboard.first_words import by_first_word

ROUTERS: tuple[APIRouter, ...] = (
    session.router,
    integrations.router,
    lists.router,
    logs.router,
    logs.files,
    log_follow.router,
    pod_files.router,
    exports.router,
    terminal.router,
    pods.router,
    workloads.router,
    jobs.router,
    network.router,
    config.router,
    storage.router,
    access.router,
    cluster.router,
    older_login.router,
    page_settings.older_router,
    raw.router,
    scale.router,
    appdeployment.router,
    creations.router,
    nodes.router,
    # An object named `object` cannot be read: the list's path wins (contract, section 14).
    custom.object_lists,
    custom.router,
    live.router,
    # Last, for one of its paths begins with any kind.
    scaling.router,
    rollouts.router,
)


def include(app: FastAPI) -> None:
    """Serve them; the paths with a name are documented by a sentence, not once more."""
    for router in by_first_word(ROUTERS):
        app.include_router(router, prefix="/api/v1")
        app.include_router(router, prefix="/clusters/{cluster}/api/v1", include_in_schema=False)
    app.include_router(page_settings.root_router)
