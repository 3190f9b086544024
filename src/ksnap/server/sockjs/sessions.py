"""All sessions of one service: the tasks that serve them, and those among them that go by an id."""

import asyncio

import structlog

from ksnap.errors import Unavailable
from ksnap.server.sockjs.connection import Handler, LiveSession, Opening
from ksnap.server.sockjs.options import SockJsOptions
from ksnap.sockjs.frames import Closed, ConnectionClosed
from ksnap.sockjs.session import Limits

RETURNED = Closed(1000, "Normal closure")
CRASHED = Closed(1011, "Internal error")

_log = structlog.get_logger(__name__)


class Sessions:
    """Owns a task per session: the application's work on it, and then the wait until the client has been told."""

    def __init__(self, handler: Handler, options: SockJsOptions) -> None:
        self._handler = handler
        self._options = options
        self._limits = Limits(
            heartbeat_s=options.heartbeat_s,
            disconnect_delay_s=options.disconnect_delay_s,
            outbox_bytes=options.queue_limit_bytes,
            inbox_bytes=options.inbox_limit_bytes,
        )
        self._by_id: dict[str, LiveSession] = {}
        self._tasks: dict[asyncio.Task[None], LiveSession] = {}
        self._ending = False

    def __len__(self) -> int:
        return len(self._tasks)

    def find(self, session_id: str) -> LiveSession | None:
        return self._by_id.get(session_id)

    def open(self, opening: Opening, session_id: str | None = None) -> LiveSession:
        """A new session, to be found by its id if it has one; Unavailable if there are too many."""
        if self._ending or len(self._tasks) >= self._options.sessions_limit:
            raise Unavailable("No further session can be opened", hint="Try again later")
        session = LiveSession(opening, self._limits, lambda: self._forget(session_id, session))
        if session_id is not None:
            self._by_id[session_id] = session
        task = asyncio.create_task(self._serve(session))
        self._tasks[task] = session
        task.add_done_callback(self._tasks.pop)
        return session

    async def end(self, within_s: float) -> None:
        """Tell all that it is over, give their applications so long to end, and cancel the rest."""
        self._ending = True
        for session in self._tasks.values():
            session.leave(Closed(*self._options.farewell))
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, session: LiveSession) -> None:
        try:
            await self._handle(session)
            await session.gone()
        finally:
            session.drop()

    async def _handle(self, session: LiveSession) -> None:
        """The root of an application's work on one session, hence the broad `except`."""
        ended = RETURNED
        try:
            await self._handler(session)
        except Exception as error:  # noqa: BLE001 - as said
            if not _means_closed(error):
                _log.exception("sockjs_handler_crashed", address=session.address)
                ended = CRASHED
        finally:
            session.finish(ended)

    def _forget(self, session_id: str | None, session: LiveSession) -> None:
        if session_id is not None and self._by_id.get(session_id) is session:
            del self._by_id[session_id]


def _means_closed(error: Exception) -> bool:
    """Whether that the session is over is all there is to it: also if several tasks of a group have found out."""
    if isinstance(error, ExceptionGroup):
        return error.split(ConnectionClosed)[1] is None
    return isinstance(error, ConnectionClosed)
