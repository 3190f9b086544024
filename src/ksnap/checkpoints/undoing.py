"""What cleaning up after a failure has in common: each place on its own, and what stayed behind is told.

That something is gone already is for the place itself to say, and is then no error there. A NotFound that comes out
is of a configuration, without which nothing could be looked for.
"""

from collections.abc import Awaitable, Sequence

import structlog

from ksnap.errors import KsnapError

log = structlog.get_logger(__name__)


async def leftover(place: str, undoing: Awaitable[None]) -> str:
    """Undo one place; what could not be undone is told, and keeps nothing else from being undone."""
    try:
        await undoing
    except KsnapError as error:
        log.warning("undo_incomplete", place=place, error=error.message, details=error.details)
        return f"{place}: {error.message}" + (f", {error.details}" if error.details else "")
    return ""


def with_leftovers(error: Exception, left: Sequence[str]) -> Exception:
    """The error, with what could not be cleaned up added to its details."""
    told = "; ".join(each for each in left if each)
    if not told or not isinstance(error, KsnapError):
        return error
    details = ". ".join(part for part in (error.details, f"Not everything could be removed ({told})") if part)
    with_told = type(error)(error.message, details=details, hint=error.hint)
    with_told.output = error.output
    return with_told
