"""All terminal sessions of one server process (contract, 9.6): pending, bound, closed.

A session is one entry and one task that owns it; the task removes the entry, whatever happens. Its id is good for one
bind: it is taken out of the pending ones in the step in which it is looked up.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import structlog

from ksnap.dashboard.terminal.closing import CLIENT_GONE, NOT_FOUND, SHUTDOWN, Closing, protocol_error
from ksnap.dashboard.terminal.connection import ConnectionClosed, SockJsConnection
from ksnap.dashboard.terminal.hang_up import WHOLE_S
from ksnap.dashboard.terminal.messages import BadMessage, Bind, parse
from ksnap.dashboard.terminal.opened import Opened
from ksnap.dashboard.terminal.settings import TerminalSettings
from ksnap.dashboard.terminal.tokens import fits
from ksnap.errors import RateLimited, Unavailable

ID_BYTES = 16
# When the server ends: what a process gets to end, and a moment for the trail.
END_S = WHOLE_S + 2.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reservation:
    """A place among the open sessions."""

    token_digest: str
    is_used: bool = False


class TerminalSessions:
    """Made by `terminal_sessions`."""

    def __init__(self, settings: TerminalSettings, group: asyncio.TaskGroup) -> None:
        self.settings = settings
        self._group = group
        self._pending: dict[str, Opened] = {}
        self._owners: dict[asyncio.Task[None], Opened] = {}
        self._of_token: Counter[str] = Counter()
        self._has_ended = False

    @contextmanager
    def reserved(self, token_digest: str) -> Iterator[Reservation]:
        """Hold a place, or RateLimited; it is given back at the end of the block unless a session has begun in it."""
        if self._has_ended:
            raise Unavailable("The server is stopping", hint="Try again later")
        if self._of_token[token_digest] >= self.settings.sessions_token:
            raise _too_many(f"{self.settings.sessions_token} of one token are allowed", "Close one of them")
        if self._of_token.total() >= self.settings.sessions:
            raise _too_many(f"{self.settings.sessions} are allowed on this server", "Try again later")
        self._of_token[token_digest] += 1
        reservation = Reservation(token_digest)
        try:
            yield reservation
        finally:
            if not reservation.is_used:
                self._release(token_digest)

    def begin(self, opened: Opened, reservation: Reservation) -> str:
        """Its id; from now on it has to be bound in time."""
        reservation.is_used = True
        session_id = secrets.token_hex(ID_BYTES)
        self._pending[session_id] = opened
        owner = self._group.create_task(self._own(session_id, opened), name="terminal session")
        self._owners[owner] = opened
        owner.add_done_callback(self._owners.pop)
        return session_id

    async def handle(self, connection: SockJsConnection, session_id: str | None = None) -> None:
        """Serve a connection to its end: bind it to the session that its first message names (or `session_id` does)."""
        opened = await self._bound(connection, session_id)
        if isinstance(opened, Closing):
            with suppress(ConnectionClosed):
                await connection.close(opened.code, opened.reason)
            return
        try:
            await opened.over.wait()
        except asyncio.CancelledError:
            opened.end(CLIENT_GONE)  # its owner sees to what it runs
            raise

    async def end(self) -> None:
        """Close all, for the server stops; what they run has some seconds to end."""
        self._has_ended = True
        owners = list(self._owners)
        for opened in self._owners.values():
            opened.end(SHUTDOWN)
        if owners:
            await asyncio.wait(owners, timeout=END_S)

    def cancel(self) -> None:
        """Those that are left."""
        for owner in self._owners:
            owner.cancel()

    async def _bound(self, connection: SockJsConnection, session_id: str | None) -> Opened | Closing:
        try:
            async with asyncio.timeout(self.settings.bind_s):
                first = parse(await connection.receive())
        except TimeoutError:
            return protocol_error("no bind came in time")
        except ConnectionClosed:
            return CLIENT_GONE
        except BadMessage as bad:
            return protocol_error(str(bad))
        if not isinstance(first, Bind):
            return protocol_error("the first message is not bind")
        opened = self._pending.get(first.session_id)
        if (
            opened is None
            or session_id not in {None, first.session_id}
            or not fits(connection.headers, opened.token_digest)
        ):
            return NOT_FOUND
        del self._pending[first.session_id]
        opened.bind(connection)
        return opened

    async def _own(self, session_id: str, opened: Opened) -> None:
        try:
            await opened.run(self.settings, lambda: self._pending.pop(session_id, None))
        except Exception:  # noqa: BLE001 - the root of its task: the others' go on
            _log.exception("terminal_session_crashed", place=opened.place.named)
        finally:
            self._pending.pop(session_id, None)
            self._release(opened.token_digest)

    def _release(self, token_digest: str) -> None:
        self._of_token[token_digest] -= 1
        self._of_token += Counter()  # forgets those who have none


@asynccontextmanager
async def terminal_sessions(settings: TerminalSettings) -> AsyncIterator[TerminalSessions]:
    """The sessions of a server process, for as long as the block lasts."""
    async with asyncio.TaskGroup() as group:
        sessions = TerminalSessions(settings, group)
        try:
            yield sessions
        finally:
            await sessions.end()
            sessions.cancel()


def _too_many(details: str, hint: str) -> RateLimited:
    return RateLimited("Too many open terminals", details=details, hint=hint)
