"""Whether the server lives and can work, for people, load balancers and Kubernetes' probes. Anonymous."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import structlog
from fastapi import APIRouter, Response

from ksnap import __version__
from ksnap.errors import KsnapError, Unavailable
from ksnap.server import failures
from ksnap.server.access import RightFirst
from ksnap.server.documented import ErrorBody, responses
from ksnap.server.messages import Reply
from ksnap.server.services import InServices

_log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"], route_class=RightFirst)


class Alive(Reply):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Health(Reply):
    """The server and all that it needs."""

    status: Literal["healthy"] = "healthy"
    version: str = __version__
    checks: dict[str, Literal["ok"]]


@router.get("/health/live", summary="Whether the process lives")
async def live() -> Alive:
    return Alive()


class Unhealthy(ErrorBody):
    """A failure like every other, with the word that health checks look for."""

    status: Literal["unhealthy"]


def _unhealthy(*parts: str) -> Unavailable:
    """Names the parts and no more: the caller is anonymous, the log has the cause."""
    return Unavailable("The server cannot work", details=f"{', '.join(parts)}: not available")


_STATUS = {"status": "unhealthy"}
_EXAMPLE = {"summary": "A part is away", "value": failures.envelope(_unhealthy("blob_store")) | _STATUS}
_RESPONSES: dict[int | str, dict[str, Any]] = responses(anonymous=True) | {
    Unavailable.status: {
        "model": Unhealthy,
        "description": Unavailable.code,
        "content": {"application/json": {"examples": {Unavailable.code: _EXAMPLE}}},
    }
}


@router.get("/health", summary="Whether the server can work", response_model=Health, responses=_RESPONSES)
@router.get("/health/ready", summary="Whether the server can work", response_model=Health, responses=_RESPONSES)
async def ready(services: InServices) -> Health | Response:
    away = await _away({"database": services.database.check, "blob_store": services.blobs.check})
    if away:
        return failures.response(_unhealthy(*away), more=_STATUS)
    return Health(checks={"database": "ok", "blob_store": "ok"})


async def _away(checks: Mapping[str, Callable[[], Awaitable[None]]]) -> list[str]:
    found = []
    for name, check in checks.items():
        try:
            await check()
        except KsnapError as error:
            _log.warning("health_check_failed", part=name, error=error.message, details=error.details, exc_info=error)
            found.append(name)
    return found
