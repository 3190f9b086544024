"""Addresses that a registry hands out, and whether credentials may go there. No network.

A Location may be relative, may name the registry by another scheme (a proxy in front of it), or another host
altogether (a cloud's blob store). Credentials stay with the registry's own scheme, host and port.
"""

from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ksnap.errors import RegistryConnectionFailed


def resolve(base: str, location: str) -> str:
    """Where `location`, answered to a request of `base`, leads. Never from https to http."""
    target = urlsplit(urljoin(base, location))
    origin = urlsplit(base)
    if target.scheme not in ("https", "http") or not target.hostname:
        raise RegistryConnectionFailed("The registry answered an unusable address", details=f"{location[:200]!r}")
    if origin.scheme == "https" and target.scheme == "http":
        if target.hostname != origin.hostname:
            raise RegistryConnectionFailed(
                f"Registry {origin.netloc} leads from https to plain http",
                details=f"{target.scheme}://{target.netloc}",
                hint="Let the registry hand out https addresses",
            )
        # A proxy ended TLS and did not tell the registry; the same path is there by https.
        target = target._replace(scheme="https", netloc=origin.netloc)
    return urlunsplit(target)


def same_origin(first: str, second: str) -> bool:
    """Scheme, host and port are equal."""
    return _origin(first) == _origin(second)


def with_query(url: str, **parameters: str) -> str:
    """The address with these parameters added to whatever its query holds already."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
