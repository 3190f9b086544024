"""The server's URL as a user writes it, checked once; everything after that takes a `ServerUrl`."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ksnap.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """`scheme://host[:port][/prefix]`, without a slash at its end."""

    text: str
    encrypted: bool
    local: bool
    """The server is this machine: no proxy in between, and nothing to read on a wire."""

    def at(self, *parts: str) -> str:
        """The URL of a path; each part is quoted whole, so that no name can climb out of its place."""
        return "/".join((self.text, *(quote(part, safe="") for part in parts)))

    def __str__(self) -> str:
        return self.text


def parse_server_url(text: str) -> ServerUrl:
    """The URL, or InvalidInput that shows how one looks."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    else:
        if parts.scheme in {"http", "https"} and host and not (parts.username or parts.query or parts.fragment):
            shown = f"[{host}]" if ":" in host else host
            address = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
            return ServerUrl(address + parts.path.rstrip("/"), parts.scheme == "https", _is_local(host))
    raise InvalidInput(
        "Not a server's URL",
        details=_without_user_info(text),
        hint="Write it like https://ksnap.example.com or http://localhost:8000, without user name and query",
    )


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_user_info(text: str) -> str:
    """Somebody's password may stand before the @."""
    return text.rpartition("@")[2][:200]
