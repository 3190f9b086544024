"""A session as an application sees it, whichever transport carries it."""

from collections.abc import Mapping
from typing import Protocol


class SockJsConnection(Protocol):
    """One session, as the application sees it."""

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
        """The client's next message; ConnectionClosed once there is none left to come.

        As strings of JavaScript may, it may hold half a surrogate pair.
        """

    async def send(self, message: str) -> None:
        """Send it as soon as the client does not lag behind by too much; ConnectionClosed if it has gone."""

    async def close(self, code: int, reason: str) -> None:
        """End the session: what has been sent still arrives, then the client is told why."""
