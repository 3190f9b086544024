"""Errors as JSON: a job's failure crosses the database, a kill -9 and the agent's wire, and stays itself. Pure."""

from ksnap.errors import JobCancelled, KsnapError, by_code
from ksnap.node.protocol import WireError


def to_wire(error: Exception) -> WireError:
    """Any error; a foreign one is shown by its type alone, since its text may hold anything."""
    if isinstance(error, KsnapError):
        return WireError(
            code=error.code,
            status=error.status,
            message=storable(error.message),
            details=storable(error.details),
            hint=storable(error.hint),
            output=storable(error.output),
        )
    return WireError(
        code=KsnapError.code,
        status=KsnapError.status,
        message="The job failed inside ksnap",
        details=type(error).__name__,
        hint="The server's log tells more",
    )


def from_wire(error: WireError, *, cancelled: bool = False) -> KsnapError:
    """The error again, of its own class; a cancelled job has the code of any conflict, hence `cancelled`."""
    kind = JobCancelled if cancelled else by_code(error.code, error.status)
    found = kind(error.message, details=error.details, hint=error.hint)
    found.output = error.output
    return found


def storable(text: str) -> str:
    """A text that both databases take: others' words may hold a NUL or half a character, which they refuse."""
    return text.replace("\0", "").encode(errors="replace").decode()
