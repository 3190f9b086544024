"""Names as parts of a path at the API server."""

from urllib.parse import quote

from ksnap.errors import InvalidInput


def segment(name: str) -> str:
    """One part of a path. Dots alone would be resolved as in a file's path: the request would be of something else."""
    if name in {"", ".", ".."}:
        raise InvalidInput("A name is not valid", details=f"{name!r} is the name of nothing in Kubernetes")
    return quote(name, safe="")
