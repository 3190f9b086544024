"""`/metrics`: the server's own figures, for viewers, or for everyone if the settings say so."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from ksnap.identity.principal import Role
from ksnap.server.access import RightFirst, documented_viewer, require
from ksnap.server.documented import responses
from ksnap.server.services import InServices

router = APIRouter(tags=["health"], route_class=RightFirst)
_viewer = require(Role.VIEWER)


@router.get(
    "/metrics",
    summary="The server's figures for Prometheus",
    response_class=Response,
    dependencies=[documented_viewer],
    responses={**responses(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, services: InServices) -> Response:
    if not services.settings.metrics_public:
        _viewer(request)
    text = await asyncio.to_thread(request.app.state.metrics.text)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
