"""What a terminal needs of a connection: whole text messages, whichever transport carries them (SockJS, WebSocket)."""

from collections.abc import Mapping
from typing import Protocol


class ConnectionClosed(Exception):
    """The other side is gone, or the connection was closed."""


class SockJsConnection(Protocol):
    """One client's connection."""

    headers: Mapping[str, str]
    """Of the request that began it; names in lower case."""
    query: str
    address: str

    async def receive(self) -> str:
        """The next message; ConnectionClosed when there will be none."""

    async def send(self, message: str) -> None:
        """Waits while more than 256 KiB is queued and unread; ConnectionClosed when nobody will read it."""

    async def close(self, code: int, reason: str) -> None:
        """Tell why, and end it; nothing happens on one that has ended."""
