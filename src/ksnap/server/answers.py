"""JSON answers without FastAPI's models: what is made of Kubernetes' objects, fast and in one pass."""

from typing import Any

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder(decimal_format="string")


def json_answer(value: Any, status: int = 200) -> Response:
    """Dicts, lists, msgspec Structs and dataclasses as JSON. Times are RFC 3339 with a Z."""
    return Response(_encoder.encode(value), status_code=status, media_type="application/json")


def media_types(accept: str) -> set[str]:
    """The media types of an Accept header, without their parameters."""
    return {each.partition(";")[0].strip().lower() for each in accept.split(",")}
