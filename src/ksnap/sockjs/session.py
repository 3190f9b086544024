"""One SockJS session as a state machine: who may receive, what they get next, when it is over.

It takes the time as an argument and waits for nothing. Its two sides are the client, of whom at most one connection
receives at a time (`attach`, `take`, `detach`, `lose`) while others bring messages (`accept`), and the application
(`send`, `next_message`, `close`). The states and their only ways on:

    NEW ──take──▶ OPEN ──close, lose──▶ CLOSING ──told, and the delay over──▶ GONE
     └─────────────┴──no receiver for the delay───────────────────────────────▶┘

In CLOSING it is over for the application; whoever comes to receive is told why, again and again, until it is GONE: then
whoever keeps it forgets it, and the same id begins a new one.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from ksnap.sockjs.frames import (
    ANOTHER_RECEIVER,
    INTERRUPTED,
    NOT_RECEIVED,
    Closed,
    ConnectionClosed,
    Frame,
    Heartbeat,
    Messages,
    Opened,
    size_bytes,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The times and sizes of a session; the times are the protocol's defaults."""

    heartbeat_s: float = 25.0
    disconnect_delay_s: float = 5.0
    outbox_bytes: int = 256 * 1024
    """With more than this unread, the application should wait before it sends again."""
    inbox_bytes: int = 1024 * 1024
    """With more than this unread, the client should wait before it sends again."""


class State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


class Session:
    """Begins without a receiver, so that one which nobody attaches to ends by itself."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._state = State.NEW
        self._attached = False
        self._told_open = False
        self._told_closed = False
        self._closed: Closed | None = None
        self._outbox = _Box()
        self._inbox = _Box()
        self._deadline = now + limits.disconnect_delay_s

    @property
    def state(self) -> State:
        return self._state

    @property
    def deadline(self) -> float:
        """With a receiver: when to give it a heartbeat. Without: when the session ends (`expire`)."""
        return self._deadline

    @property
    def attached(self) -> bool:
        """Whether somebody receives."""
        return self._attached

    @property
    def told(self) -> bool:
        """Whether a receiver has been given the last frame."""
        return self._told_closed

    @property
    def over(self) -> Closed | None:
        """Why it is over for the application, if it is."""
        return self._closed

    # The client's side

    def attach(self, now: float) -> Closed | None:
        """A connection comes to receive. If it may not, this is the one frame for it, and it is not attached."""
        if self._state is State.GONE:
            return self._closed
        if self._attached:
            return self._closed or ANOTHER_RECEIVER
        self._attached = True
        if not self._told_closed:
            self._deadline = now + self._limits.heartbeat_s
        return None

    def take(self, now: float) -> Frame | None:
        """The next frame for the receiver; None if there is none yet. `Closed` is its last."""
        if not self._told_open:
            self._told_open = True
            if self._state is State.NEW:
                self._state = State.OPEN
            frame: Frame = Opened()
        elif self._outbox:
            frame = Messages(self._outbox.take_all())
        elif self._closed is not None:
            return self._tell_closed(self._closed, now)
        elif now >= self._deadline:
            frame = Heartbeat()
        else:
            return None
        self._deadline = now + self._limits.heartbeat_s
        return frame

    def _tell_closed(self, closed: Closed, now: float) -> Closed:
        if not self._told_closed:
            self._told_closed = True
            self._deadline = now + self._limits.disconnect_delay_s
        return closed

    def detach(self, now: float) -> None:
        """The receiver has all that it will get: another one may come."""
        self._attached = False
        if not self._told_closed:
            self._deadline = now + self._limits.disconnect_delay_s

    def lose(self, now: float) -> None:
        """What a receiver was given may not have arrived."""
        if self._closed is None:
            self._outbox.take_all()
            self._close(INTERRUPTED, now)

    def accept(self, messages: list[str]) -> None:
        """Messages of the client. Too late, they are of no use to anyone: the receiver will say that it is over."""
        if self._closed is None:
            for each in messages:
                self._inbox.put(each)

    @property
    def inbox_full(self) -> bool:
        return self._inbox.bytes > self._limits.inbox_bytes

    def expire(self, now: float) -> bool:
        """Whether it is gone; true for ever once it has been without a receiver for too long."""
        if not self._attached and now >= self._deadline:
            self._closed = self._closed or NOT_RECEIVED
            self._state = State.GONE
        return self._state is State.GONE

    # The application's side

    def send(self, message: str) -> None:
        if self._closed is not None:
            raise ConnectionClosed(self._closed)
        self._outbox.put(message)

    @property
    def outbox_full(self) -> bool:
        return self._outbox.bytes > self._limits.outbox_bytes

    def next_message(self) -> str | None:
        """The client's next message; None if there is none yet. What came before the end is still given out."""
        if self._inbox:
            return self._inbox.take_first()
        if self._closed is not None:
            raise ConnectionClosed(self._closed)
        return None

    def close(self, closed: Closed, now: float) -> None:
        """End it: the receiver gets what waits for it, then this frame. Nothing, if it is over already."""
        if self._closed is None:
            self._inbox.take_all()
            self._close(closed, now)

    def _close(self, closed: Closed, now: float) -> None:
        self._closed = closed
        self._state = State.CLOSING
        self._deadline = now + self._limits.disconnect_delay_s


class _Box:
    """Messages that wait, and what they weigh together."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def put(self, message: str) -> None:
        self._messages.append(message)
        self.bytes += size_bytes(message)

    def take_first(self) -> str:
        message = self._messages.popleft()
        self.bytes -= size_bytes(message)
        return message

    def take_all(self) -> tuple[str, ...]:
        messages = tuple(self._messages)
        self._messages.clear()
        self.bytes = 0
        return messages
