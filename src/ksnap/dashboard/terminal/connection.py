"""What a terminal needs of a connection: whole text messages, whichever transport carries them (SockJS, WebSocket).

The same as SockJS's own `SockJsConnection`, which belongs to an entrance.
"""

from collections.abc import Mapping
from typing import Protocol

from ksnap.sockjs.frames import ConnectionClosed

__all__ = ["ConnectionClosed", "SockJsConnection"]


class SockJsConnection(Protocol):
    """One client's connection."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request that opened it; names are in lower case."""

    @property
    def query(self) -> str:
        """Of the request that opened it."""

    @property
    def address(self) -> str:
        """Of the client that opened it."""

    async def receive(self) -> str:
        """The next message; ConnectionClosed when there will be none."""

    async def send(self, message: str) -> None:
        """Waits while more than 256 KiB is queued and unread; ConnectionClosed when nobody will read it."""

    async def close(self, code: int, reason: str) -> None:
        """Tell why, and end it; nothing happens on one that has ended."""
