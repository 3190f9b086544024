"""The dashboard's routes (contract dashboard-api, section 14). `ROUTERS` is all of them, with paths below /api/v1.

Each is served for the default cluster at /api/v1/..., and for a named one at /clusters/{cluster}/api/v1/...
"""

from fastapi import APIRouter, FastAPI

from ksnap.server.routes.dashboard import (
    appdeployment,
    creations,
    exports,
    log_follow,
    logs,
    nodes,
    older_login,
    page_settings,
    pod_files,
    raw,
    rollouts,
    scale,
    session,
)

# The first that matches answers: paths that begin with a parameter come last.
ROUTERS: tuple[APIRouter, ...] = (
    session.router,
    older_login.router,
    page_settings.older_router,
    raw.reading,
    raw.writing,
    logs.router,
    logs.files,
    log_follow.router,
    pod_files.router,
    exports.router,
    scale.router,
    appdeployment.router,
    creations.router,
    nodes.router,
    rollouts.router,
)


def include(app: FastAPI) -> None:
    """Serve them; the paths with a name are documented by a sentence, not once more."""
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")
        app.include_router(router, prefix="/clusters/{cluster}/api/v1", include_in_schema=False)
    app.include_router(page_settings.root_router)
