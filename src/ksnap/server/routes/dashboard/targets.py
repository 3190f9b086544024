"""The object that a path of any kind is about: `{kind}`, `{name}`, and `{namespace}` where there is one."""

from typing import Annotated

from fastapi import Depends, Request

from ksnap.dashboard.writes.raw import ObjectName, named
from ksnap.server.routes.dashboard.context import AsCaller


async def _target(request: Request, at: AsCaller) -> ObjectName:
    path = request.path_params
    return await named(at, path["kind"], path.get("namespace", ""), path["name"])


Target = Annotated[ObjectName, Depends(_target)]
