"""The dashboard's paths are known with a slash at their end as well (contract dashboard-api, section 1).

It stands innermost: what is logged and judged outside is the path as it came.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from ksnap.server.paths import is_dashboard


class TrailingSlash:
    """Takes one slash away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            path: str = scope["path"]
            if path.endswith("/") and not path.endswith("//") and is_dashboard(path):
                scope["path"] = path[:-1]  # in place: outer layers look at what the router wrote into the scope
        await self._app(scope, receive, send)
