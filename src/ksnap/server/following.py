"""What a connection that follows something needs beside it: an end when its login ends, and one when its peer goes.

Each part of a connection's work ends by raising why; the first that does ends the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Never

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ksnap.errors import ClusterConnectionFailed, KsnapError, Unavailable
from ksnap.identity.logins import Logins
from ksnap.identity.principal import Principal
from ksnap.server.protocols import cut

# How long one who was deleted, or lost a role, still sees what happens. Each connection asks the database so often.
CHECK_LOGIN_S = 10.0

_log = structlog.get_logger(__name__)


class TooSlow(KsnapError):
    """The peer left what was sent to it unread for too long."""

    def __init__(self) -> None:
        super().__init__("What was sent was not read in time", hint="Come back with the last id")


async def first_end(*works: Coroutine[Any, Any, Never]) -> Exception:
    """Let all of them work until one raises, and tell what; none outlives this."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in works:
                group.create_task(each)
    except ExceptionGroup as ended:
        return ended.exceptions[0]
    raise AssertionError("a part of a connection's work ended without a reason")


async def login_ends(logins: Logins, token: str, who: Principal) -> Never:
    """Raise NotAuthenticated as soon as the token has expired, and soon after its user has lost it."""
    while True:
        left_s = CHECK_LOGIN_S
        if who.token_expires_at is not None:
            left_s = max(0.0, (who.token_expires_at - datetime.now(UTC)).total_seconds())
        await asyncio.sleep(min(left_s, CHECK_LOGIN_S))
        try:
            await logins.authenticate(token, address=who.address, request_id=who.request_id)
        except Unavailable as error:
            _log.warning("login_not_checked", username=who.username, error=error.message)


async def sent_in_time(sending: Awaitable[None], patience_s: float) -> None:
    """Send, or TooSlow."""
    try:
        async with asyncio.timeout(patience_s):
            await sending
    except TimeoutError:
        raise TooSlow from None


async def right_ends(require: Callable[[], Awaitable[None]]) -> Never:
    """Raise what `require` raises soon after a right, or the token that had it, has gone."""
    while True:
        await asyncio.sleep(CHECK_LOGIN_S)
        try:
            await require()
        except ClusterConnectionFailed as error:
            _log.warning("right_not_checked", error=error.message, details=error.details)


async def peer_gone(receive: Receive) -> Never:
    """Raise ClientDisconnect when the one who asked has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


async def cut_off(scope: Scope, receive: Receive) -> None:
    """Cut the connection, and stay until the server knows: it would miss the answer's end otherwise."""
    cut(scope)
    with suppress(ClientDisconnect):
        await peer_gone(receive)
