"""Whose pages may speak to us (ours; the protocol lets everybody).

A page of another site may make a browser send its user's cookies along, and all that SockJS asks for besides is a
random session id of the page's own choice. So other origins are refused unless they are named; programs that are no
browser send no origin, and whoever forges one is no browser's victim.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

EVERYBODY = "*"


def may_speak(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether a request may be served, by its headers with lower-case names."""
    if EVERYBODY in allowed:
        return True
    # Browsers say where a request comes from, over https at least. A form of a page that sends no referrer (jsonp) has
    # the origin `null` even at home, and a script or a frame (jsonp, htmlfile) has none at all.
    site = headers.get("sec-fetch-site", "")
    if site == "same-origin":
        return True
    origin = headers.get("origin")
    if origin is None and site in {"same-site", "cross-site"}:
        origin = _origin_of(headers.get("referer", ""))
    if origin is None:
        return True
    # A proxy that ends TLS leaves the host as it was and not the scheme, so the host alone is compared.
    return origin in allowed or _origin_of(origin).partition("//")[2] == headers.get("host", "no host")


def _origin_of(url: str) -> str:
    """`null` if it has none, as browsers say it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else "null"


def cors_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[tuple[str, str]]:
    """What lets a page of an allowed origin read the answer, with its cookies (JSESSIONID)."""
    origin = headers.get("origin", "")
    if not origin and EVERYBODY not in allowed:
        return []
    answer = [("Access-Control-Allow-Origin", origin or EVERYBODY), ("Access-Control-Allow-Credentials", "true")]
    if origin:
        answer.append(("Vary", "Origin"))
    asked = headers.get("access-control-request-headers")
    if asked:
        answer.append(("Access-Control-Allow-Headers", asked))
    return answer
