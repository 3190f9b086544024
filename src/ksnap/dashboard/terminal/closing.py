"""Why a session ended: what its client is told (contract, 9.3), and what the trail says. Pure."""

from dataclasses import dataclass

EXITED_CODE = 1
FAILED_CODE = 2
NOT_FOUND_CODE = 3
PROTOCOL_CODE = 4
SERVER_CODE = 5
# A cluster's own words are some hundred characters; what is longer repeats itself.
REASON_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Closing:
    """An end. `outcome` is the trail's word for it."""

    code: int
    reason: str
    outcome: str


EXITED = Closing(EXITED_CODE, "Process exited", "ok")
NOT_FOUND = Closing(NOT_FOUND_CODE, "Session not found or expired", "NOT_FOUND")
EXPIRED = Closing(NOT_FOUND_CODE, "Session not found or expired", "NOT_BOUND")
CLIENT_GONE = Closing(SERVER_CODE, "Session closed by server", "CLIENT_GONE")
"""Nobody is there to be told."""
IDLE = Closing(SERVER_CODE, "Session closed by server", "IDLE")
SHUTDOWN = Closing(SERVER_CODE, "Session closed by server", "SHUTDOWN")
POD_DELETED = Closing(SERVER_CODE, "Session closed by server", "POD_DELETED")
CRASHED = Closing(SERVER_CODE, "Session closed by server", "INTERNAL_ERROR")


def failed(reason: str) -> Closing:
    """The process never started, or the cluster said no more of it."""
    return Closing(FAILED_CODE, reason[:REASON_LIMIT], "EXEC_FAILED")


def protocol_error(what: str) -> Closing:
    return Closing(PROTOCOL_CODE, f"Protocol error: {what}", "PROTOCOL_ERROR")
