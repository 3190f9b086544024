"""The dashboard's routes (contract dashboard-api, section 14). `ROUTERS` is all of them, with paths below /api/v1.

Each is served for the default cluster at /api/v1/..., and for a named one at /clusters/{cluster}/api/v1/...
"""

from fastapi import APIRouter, FastAPI

from ksnap.server.routes.dashboard import exports, log_follow, logs, pod_files, session

ROUTERS: tuple[APIRouter, ...] = (
    session.router,
    logs.router,
    logs.files,
    log_follow.router,
    pod_files.router,
    exports.router,
)


def include(app: FastAPI) -> None:
    """Serve them; the paths with a name are documented by a sentence, not once more."""
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")
        app.include_router(router, prefix="/clusters/{cluster}/api/v1", include_in_schema=False)
