"""`/config/registry/*`: registries' configuration (contract, section 3.4)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from pydantic import AliasChoices, Field, SecretStr

from ksnap.configuration.registries import RegistryChange
from ksnap.errors import AlreadyExists, Conflict, NotFound
from ksnap.server.access import Administrator, RightFirst, Viewer
from ksnap.server.documented import responses
from ksnap.server.messages import Changed, Line, Lines, LongLine, ObjectName, Reply, Request, Secret, one_name
from ksnap.server.services import InServices

router = APIRouter(prefix="/config/registry", tags=["registries"], route_class=RightFirst)
_URL = AliasChoices("url", "registry")


class CreateRegistry(Request):
    name: ObjectName
    url: LongLine = Field(min_length=1, validation_alias=_URL)
    """host[:port][/path], https unless it begins with http://. Alias: registry."""
    username: Line = ""
    password: Secret = Field(default=SecretStr(""), max_length=4096)
    verify_ssl: bool = True
    ca_cert: Lines = ""
    """PEM of the registry's own certificate authorities."""


class UpdateRegistry(Request):
    """Absent fields stay as they are; a password is replaced only by one that is not empty."""

    name: ObjectName
    url: LongLine | None = Field(default=None, min_length=1, validation_alias=_URL)
    username: Line | None = None
    """Empty makes the registry anonymous."""
    password: Secret | None = Field(default=None, max_length=4096)
    verify_ssl: bool | None = None
    ca_cert: Lines | None = None


class DeleteRegistry(Request):
    name: ObjectName | None = None
    """Or in the query."""


class RegistryItem(Reply):
    name: str
    url: str
    username: str
    verify_ssl: bool
    has_password: bool


class RegistryList(Reply):
    success: Literal[True] = True
    message: str
    registry_configs: list[RegistryItem]


@router.post("/create", summary="Store a registry", responses=responses(AlreadyExists))
async def create(body: CreateRegistry, who: Administrator, services: InServices) -> Changed:
    await services.registries.create(who, _change(body))
    return Changed(message=f"Registry {body.name} created")


@router.get("/list", summary="List the registries", responses=responses())
async def list_registries(who: Viewer, services: InServices) -> RegistryList:
    items = [RegistryItem.model_validate(each, from_attributes=True) for each in await services.registries.list()]
    return RegistryList(message=f"{len(items)} registries", registry_configs=items)


@router.put("/update", summary="Change a registry", responses=responses(NotFound, Conflict))
async def update(body: UpdateRegistry, who: Administrator, services: InServices) -> Changed:
    """The url's host stays while a checkpoint has an image there."""
    await services.registries.update(who, _change(body))
    return Changed(message=f"Registry {body.name} updated")


@router.delete("/delete", summary="Forget a registry", responses=responses(NotFound, Conflict))
async def delete(
    who: Administrator,
    services: InServices,
    body: Annotated[DeleteRegistry | None, Body()] = None,
    name: Annotated[ObjectName | None, Query(description="Instead of the body")] = None,
) -> Changed:
    chosen = one_name("name", body.name if body else None, name)
    await services.registries.delete(who, chosen)
    return Changed(message=f"Registry {chosen} deleted")


def _change(body: CreateRegistry | UpdateRegistry) -> RegistryChange:
    return RegistryChange(body.name, body.url, body.username, body.password, body.verify_ssl, body.ca_cert)
