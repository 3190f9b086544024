"""What can be chosen for one SockJS service."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope


def peer_address(scope: Scope) -> str:
    """The address at the other end of the connection."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _cut_nothing(scope: Scope) -> None:
    """A plain ASGI server has no way to cut a connection: it ends when the server notices."""


@dataclass(frozen=True, slots=True)
class SockJsOptions:
    """The protocol's defaults, and bounds on what strangers may make us keep."""

    heartbeat_s: float = 25.0
    """After so long a silence a receiver gets a heartbeat."""

    disconnect_delay_s: float = 5.0
    """A session without a receiver ends after this, and one that is over is remembered so long."""

    response_limit_bytes: int = 128 * 1024
    """A streaming answer ends after so much: browsers keep all of it until then."""

    queue_limit_bytes: int = 256 * 1024
    """With more than this unread by the client, `send` waits."""

    inbox_limit_bytes: int = 1024 * 1024
    """With more than this unread by the application, the client waits."""

    body_limit_bytes: int = 1024 * 1024
    """The longest that one request may bring; of a WebSocket's messages the server's own limit holds."""

    sessions_limit: int = 1000
    """Sessions at a time, whose clients may be anybody; more are refused (503)."""

    patience_s: float = 90.0
    """A receiver over HTTP that takes nothing for so long is given up. Of a WebSocket the server's pings find out."""

    websocket: bool = True
    """Off where a proxy in front lets none through: clients then need not find out."""

    origins: tuple[str, ...] = ()
    """Origins of other sites whose pages may speak to us, `*` for all; pages of our own always may."""

    cookie: bool = False
    """Set JSESSIONID, for load balancers that are sticky by it."""

    client_library_url: str = ""
    """Where the iframe's page finds sockjs-client; empty for the file that we serve. It must be of the very version
    that the page around it uses."""

    farewell: tuple[int, str] = (1001, "The server ends")
    """What sessions are told when the server stops."""

    address_of: Callable[[Scope], str] = peer_address
    """Who opened a session, where a proxy in front is trusted to say."""

    cut: Callable[[Scope], None] = _cut_nothing
    """End a request's connection at once, though its peer does not read."""
