"""`POST /registry/login`: whether a stored account works (contract, section 3.3)."""

from typing import Literal

from fastapi import APIRouter

from ksnap.configuration.registry_login import check_login
from ksnap.errors import NotFound, RegistryConnectionFailed
from ksnap.identity.audit import audited
from ksnap.server.access import Operator, RightFirst
from ksnap.server.documented import responses
from ksnap.server.messages import ObjectName, Reply, Request
from ksnap.server.services import InServices

router = APIRouter(prefix="/registry", tags=["registries"], route_class=RightFirst)


class RegistryLogin(Request):
    registry_config_name: ObjectName


class RegistryLoggedIn(Reply):
    success: Literal[True] = True
    message: str
    registry: str


@router.post(
    "/login",
    summary="Test a registry's account",
    responses=responses(NotFound, RegistryConnectionFailed),
)
async def login(body: RegistryLogin, who: Operator, services: InServices) -> RegistryLoggedIn:
    async with audited(services.database, who, "registry_login_tested", body.registry_config_name):
        registry = await services.registries.get(body.registry_config_name)
        await check_login(registry, timeout_s=services.settings.registry_timeout_s)
    return RegistryLoggedIn(
        message=f"Successfully logged in to {registry.access.host}", registry=body.registry_config_name
    )
