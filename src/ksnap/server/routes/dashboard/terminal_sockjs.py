"""Terminals over SockJS at /api/sockjs (contract dashboard-api, section 10), where the Dashboard's page wants them."""

from fastapi import FastAPI

from ksnap.server.paths import SOCKJS
from ksnap.server.services import Services
from ksnap.server.sockjs import SockJsConnection, SockJsOptions, mount_sockjs
from ksnap.settings import ServerSettings


def mount(app: FastAPI, settings: ServerSettings) -> None:
    """Serve them once the services are there."""

    async def terminal(connection: SockJsConnection) -> None:
        services: Services = app.state.services
        await services.terminals.sessions.handle(connection)

    mount_sockjs(app, SOCKJS, terminal, SockJsOptions(origins=settings.allowed_origins))
