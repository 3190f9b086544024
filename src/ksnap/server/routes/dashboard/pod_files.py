"""`/pod/{namespace}/{pod}/file/{container}?path=...` (ours): a file or folder of a container as a tar.

It asks for the right to exec, which it uses; the container must have a `tar`, as for `kubectl cp`.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from ksnap.dashboard.files.download import open_tar
from ksnap.dashboard.files.paths import LONGEST, WantedPath, wanted_path
from ksnap.server.file_answer import StreamedFile
from ksnap.server.routes.dashboard.container_path import InContainer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import TextRoute

router = APIRouter(tags=["dashboard"], route_class=TextRoute)
TAR = "application/x-tar"


def _wanted(
    path: Annotated[str, Query(max_length=LONGEST, description="A file or folder in the container, from / on")],
) -> WantedPath:
    return wanted_path(path)


Wanted = Annotated[WantedPath, Depends(_wanted)]


async def _opened(at: AsCaller, of: InContainer, wanted: Wanted) -> AsyncIterator[AsyncIterator[bytes]]:
    """The tar, read for as long as it is being sent; what fails at once is an answer of its own."""
    async with open_tar(at, of.namespace, of.pod, of.container, wanted) as pieces:
        yield pieces


@router.get(
    "/pod/{namespace}/{pod}/file/{container}",
    summary="A file or folder of a container as a tar",
    response_class=Response,
    responses={200: {"content": {TAR: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def file(wanted: Wanted, pieces: Annotated[AsyncIterator[bytes], Depends(_opened)]) -> Response:
    return StreamedFile(pieces, name=f"{wanted.name}.tar", media_type=TAR)
