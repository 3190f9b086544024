"""The agent's HTTP interface in the test's own process, on a loopback port, without the question who may call.

    async with agent_http(service.routes()) as client:      # AgentClient
        await client.images()

The client takes its real way, through the API server's pod proxy; that is the same port here, and hands out a token
that nobody asks for. Who may call is asked of an API server: `tests/cluster` has one.
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from ksnap.agent.envelope import enveloped
from ksnap.kube.cluster_config import AuthType, ClusterConfig
from ksnap.kube.connection import ClusterConnection
from ksnap.kube.credentials import Access, FixedAuthorization
from ksnap.kube.pod_proxy import PodProxy
from ksnap.kube.reviews import ServiceAccountTokens
from ksnap.kube.sessions import Sessions
from ksnap.node.client import AgentClient
from ksnap.node.protocol import AGENT_PORT, AUDIENCE, AUTHORIZATION_HEADER, SERVER_SERVICE_ACCOUNT

NAMESPACE, POD = "ksnap", "agent"


async def _token(_: web.Request) -> web.Response:
    ends = datetime.now(UTC) + timedelta(hours=1)
    return web.json_response({"status": {"token": "of-the-server", "expirationTimestamp": ends.isoformat()}})


def _api_server(agent: web.Application) -> web.Application:
    """As much of an API server as lies on the way to an agent."""
    app = web.Application()
    namespace = f"/api/v1/namespaces/{NAMESPACE}"
    app.router.add_post(f"{namespace}/serviceaccounts/{SERVER_SERVICE_ACCOUNT}/token", _token)
    app.add_subapp(f"{namespace}/pods/https:{POD}:{AGENT_PORT}/proxy", agent)
    return app


def _connection(base_url: str) -> ClusterConnection:
    config = ClusterConfig(name="loopback", api_server_url=base_url, auth_type=AuthType.TOKEN)
    access = Access(base_url, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), FixedAuthorization())
    return ClusterConnection(config, access, Sessions(access))


def _way_to_agent(connection: ClusterConnection) -> PodProxy:
    tokens = ServiceAccountTokens(connection, namespace=NAMESPACE, account=SERVER_SERVICE_ACCOUNT, audience=AUDIENCE)
    return PodProxy(
        connection, namespace=NAMESPACE, pod=POD, port=AGENT_PORT, header=AUTHORIZATION_HEADER, tokens=tokens
    )


@asynccontextmanager
async def agent_http(routes: Sequence[web.RouteDef]) -> AsyncIterator[AgentClient]:
    """Serve these routes until the block ends."""
    agent = web.Application(middlewares=[enveloped])
    agent.add_routes(routes)
    runner = web.AppRunner(_api_server(agent), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        connection = _connection(f"http://{host}:{port}")
        yield AgentClient(_way_to_agent(connection))
        await connection.close()
    finally:
        await runner.cleanup()
