"""Every failure in the one envelope, whoever raised it: our errors, aiohttp's own, and what nobody foresaw."""

import json
import uuid
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from pydantic import ValidationError

from ksnap.agent.metrics import REQUESTS
from ksnap.errors import InvalidInput, KsnapError, MethodNotAllowed, NotFound, TooLarge

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def enveloped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware."""
    try:
        response = await handler(request)
    except KsnapError as error:
        response = error_response(error)
    except web.HTTPException as exc:
        response = error_response(_of_framework(exc, request))
    except Exception:  # the root of a request: logged with an id, told without the inside
        correlation_id = uuid.uuid4().hex
        log.exception("request_broke", correlation_id=correlation_id, path=request.path)
        response = error_response(KsnapError("The agent failed", details=correlation_id))
    REQUESTS.labels(status=str(response.status)).inc()
    return response


def error_response(error: KsnapError) -> web.Response:
    """The envelope: exactly four keys."""
    body = {"success": False, "error": error.message, "details": error.explanation, "code": error.code}
    return web.json_response(body, status=error.status)


def invalid_message(exc: ValidationError) -> InvalidInput:
    """pydantic's refusal with the fields' names and never their values: one of them is a password."""
    fields = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in exc.errors(include_input=False)]
    return InvalidInput("Not a valid message", details="; ".join(fields)[:1000])


def invalid_json(exc: json.JSONDecodeError) -> InvalidInput:
    return InvalidInput("Not JSON", details=f"at character {exc.pos}")


def _of_framework(exc: web.HTTPException, request: web.Request) -> KsnapError:
    if exc.status == 404:
        return NotFound("No such path", details=request.path[:200])
    if exc.status == 405:
        return MethodNotAllowed("Method not allowed", details=f"{request.method} {request.path[:200]}")
    if exc.status == 413:
        return TooLarge("The message is too long", details=f"more than {request.client_max_size} bytes")
    if exc.status < 500:
        return InvalidInput("Not a valid request", details=exc.reason)
    return KsnapError("The agent failed", details=exc.reason)
