"""`GET /checkpoint/download/{pod_name}/{filename}`: the archive as the plain tar that the runtime wrote.

It streams from wherever it lies, decompressed on the way, in constant memory. It is process memory: it needs the role
operator, leaves a line in the trail, and is kept by no cache.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from ksnap.checkpoints.byte_range import ByteRange, RangeNotSatisfiable, not_modified, parse_range, range_applies
from ksnap.checkpoints.images import Images
from ksnap.errors import Conflict, NotFound, RegistryConnectionFailed
from ksnap.identity import audit
from ksnap.registry.image_read import decompressed
from ksnap.server import failures
from ksnap.server.access import Operator, RightFirst
from ksnap.server.documented import responses
from ksnap.server.routes.snap.names import ArchiveName, Id, PodName
from ksnap.server.services import InServices
from ksnap.store.tables import Checkpoint

router = APIRouter(prefix="/checkpoint", tags=["checkpoints"], route_class=RightFirst)
_TAR = "application/octet-stream"


class ArchiveResponse(StreamingResponse):
    """Ends its source at once when the client goes away in the middle."""

    async def stream_response(self, send) -> None:  # type: ignore[no-untyped-def] # Starlette's own signature
        async with aclosing(self.body_iterator):  # type: ignore[type-var] # we only give generators
            await super().stream_response(send)


@router.get(
    "/download/{pod_name}/{filename}",
    summary="Download an archive",
    response_class=ArchiveResponse,
    responses=responses(NotFound, Conflict, RegistryConnectionFailed, RangeNotSatisfiable)
    | {
        200: {"description": "The archive", "content": {_TAR: {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "The range that was asked for", "content": {_TAR: {}}},
        304: {"description": "The client has it already"},
    },
)
async def download(
    pod_name: PodName,
    filename: ArchiveName,
    who: Operator,
    services: InServices,
    *,
    id: Annotated[Id | None, Query(description="Selects one of several")] = None,  # noqa: A002 - the contract's name
    range: Annotated[str | None, Header()] = None,  # noqa: A002 - the header's name
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    checkpoint = await services.checkpoints.downloadable(pod_name, filename, checkpoint_id=id)
    size, etag = checkpoint.size_bytes or 0, f'"{checkpoint.archive_digest}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{checkpoint.filename}"',
    }
    if not_modified(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    try:
        part = parse_range(range, size) if range_applies(if_range, etag) else None
    except RangeNotSatisfiable as error:
        return failures.response(error, headers | {"Content-Range": f"bytes */{size}"})
    await audit.record(services.database, who, "checkpoint_downloaded", f"{checkpoint.id} {checkpoint.filename}")
    return await _answer(services.images, checkpoint, part, headers, size)


async def _answer(
    images: Images, checkpoint: Checkpoint, part: ByteRange | None, headers: Mapping[str, str], size: int
) -> Response:
    wanted = part or ByteRange(0, size)
    pieces = _pieces(images, checkpoint, wanted)
    # A registry that is away must become an error, and not an answer that breaks off: so the first piece is awaited.
    first = await anext(pieces, b"")
    extra = {"Content-Length": str(wanted.length)}
    if part is not None:
        extra["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    return ArchiveResponse(
        _with(first, pieces), 206 if part is not None else 200, headers={**headers, **extra}, media_type=_TAR
    )


async def _pieces(images: Images, checkpoint: Checkpoint, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
    left = wanted.length
    async with images.layer_of(checkpoint) as packed:
        async for piece in decompressed(packed, offset=wanted.start):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


async def _with(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
