"""Applications out of a form or a file, and the form's validators (contract, sections 14 and 16)."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from ksnap.dashboard.writes import deploy, from_file, validators
from ksnap.dashboard.writes.deployment_spec import AppSpec, PortMapping
from ksnap.dashboard.writes.documents import objects_in
from ksnap.dashboard.writes.undo import Created
from ksnap.server.answers import json_answer
from ksnap.server.messages import Request
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute
from ksnap.server.routes.dashboard.trail import InTrail

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Mapping(Request):
    port: Port
    target_port: Port = Field(alias="targetPort")
    protocol: str


class Variable(Request):
    name: str
    value: str = ""


class Label(Request):
    key: str
    value: str = ""


class NewApp(Request):
    """The Dashboard's form."""

    name: Name
    namespace: Name
    container_image: str = Field(alias="containerImage")
    image_pull_secret: str | None = Field(default=None, alias="imagePullSecret")
    container_command: str | None = Field(default=None, alias="containerCommand")
    container_command_args: str | None = Field(default=None, alias="containerCommandArgs")
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    port_mappings: list[Mapping] | None = Field(default=None, alias="portMappings")
    variables: list[Variable] | None = None
    is_external: bool = Field(default=False, alias="isExternal")
    description: str | None = None
    memory_requirement: str | None = Field(default=None, alias="memoryRequirement")
    cpu_requirement: str | None = Field(default=None, alias="cpuRequirement")
    labels: list[Label] | None = None
    run_as_privileged: bool = Field(default=False, alias="runAsPrivileged")

    def spec(self) -> AppSpec:
        return AppSpec(
            name=self.name,
            namespace=self.namespace,
            image=self.container_image,
            replicas=self.replicas,
            image_pull_secret=self.image_pull_secret or "",
            command=self.container_command or "",
            arguments=self.container_command_args or "",
            ports=tuple(PortMapping(each.port, each.target_port, each.protocol) for each in self.port_mappings or ()),
            variables=tuple((each.name, each.value) for each in self.variables or ()),
            is_external=self.is_external,
            description=self.description or "",
            memory=self.memory_requirement or "",
            cpu=self.cpu_requirement or "",
            labels=tuple((each.key, each.value) for each in self.labels or ()),
            privileged=self.run_as_privileged,
        )


class File(Request):
    name: str = ""
    namespace: str = ""
    """`_all` or none: each object's own."""
    content: str
    validate_first: bool = Field(default=False, alias="validate")


class NameToCheck(Request):
    name: Name
    namespace: Name


class Reference(Request):
    reference: str


class Protocol(Request):
    protocol: str
    is_external: bool = Field(default=False, alias="isExternal")


@router.post("/appdeployment", summary="Deploy an application", status_code=201)
async def create_app(at: AsCaller, trail: InTrail, body: NewApp) -> Response:
    async with trail.line(at, "app_deployed", f"deployment {body.namespace}/{body.name}"):
        await deploy.deploy(at, body.spec())
    return json_answer(body.model_dump(by_alias=True), 201)


@router.post("/appdeploymentfromfile", summary="Create what a file says", status_code=201)
async def create_from_file(at: AsCaller, trail: InTrail, body: File) -> Response:
    """All of it or nothing. With `validate` the API server judges all of it before the first object is created."""
    documents = await asyncio.to_thread(objects_in, body.content)
    target = f"{len(documents)} objects of {body.name[:200]!r} in {body.namespace[:63]}"
    async with trail.line(at, "file_deployed", target):
        created = await from_file.create_all(at, documents, body.namespace, validate=body.validate_first)
    objects = [_created(each) for each in created]
    return json_answer({"name": body.name, "content": body.content, "error": "", "objects": objects}, 201)


@router.post("/appdeployment/validate/name", summary="Whether a name is free")
async def validate_name(at: AsCaller, body: NameToCheck) -> Response:
    return json_answer({"valid": await deploy.is_name_free(at, body.namespace, body.name)})


@router.post("/appdeployment/validate/imagereference", summary="Whether an image reference is one")
async def validate_image(body: Reference) -> Response:
    reason = validators.why_no_image(body.reference)
    return json_answer({"valid": not reason, "reason": reason})


@router.post("/appdeployment/validate/protocol", summary="Whether a service can have a protocol")
async def validate_protocol(body: Protocol) -> Response:
    return json_answer({"valid": validators.protocol_fits(body.protocol, is_external=body.is_external)})


@router.get("/appdeployment/protocols", summary="The known protocols")
async def protocols() -> Response:
    return json_answer({"protocols": list(validators.PROTOCOLS)})


def _created(created: Created) -> dict[str, Any]:
    kind = created.kind
    where = {"namespace": created.namespace} if created.namespace else {}
    return {"kind": kind.kind, "apiVersion": kind.api_version, **where, "name": created.name, "result": "created"}
