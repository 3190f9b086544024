"""Which pages may open a WebSocket. Browsers ask nobody before they do, unlike for other calls (CORS)."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ksnap.errors import NotPermitted


def check_origin(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """NotPermitted for a page of another site, unless the settings name it. Programs that are no browser send none."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    # A proxy that ends TLS leaves the host as it was and not the scheme, so the host alone is compared.
    if urlsplit(origin).netloc == connection.headers.get("host"):
        return
    raise NotPermitted(
        "Pages of this origin may not connect",
        details=origin[:200],
        hint="Name it in KSNAP_ALLOWED_ORIGINS",
    )
