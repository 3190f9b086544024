"""Exit codes, and how an error reads on a terminal. Scripts branch on the code; the reference documents it.

A code is never reused for another meaning. Errors that the server reported and those met here go the same way.
"""

from enum import IntEnum

from ksnap.errors import KsnapError


class Exit(IntEnum):
    """What an exit code means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTHENTICATION = 3
    PERMISSION = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNREACHABLE = 7
    PROBLEM = 8
    CANCELLED = 130
    """128 and SIGINT, as shells have it."""


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed: the error says what and what to do",
    Exit.USAGE: "wrong usage: unknown option, missing argument, or a value that the server refuses",
    Exit.AUTHENTICATION: "not logged in, the login has expired, or a wrong password",
    Exit.PERMISSION: "the role does not allow it",
    Exit.NOT_FOUND: "no such checkpoint, pod, cluster, registry, job or user",
    Exit.CONFLICT: "it exists already, is in use, or the same work is running",
    Exit.UNREACHABLE: "the server, or the cluster or registry behind it, cannot be reached",
    Exit.PROBLEM: "`ksnap doctor` looked, and found a problem",
    Exit.CANCELLED: "cancelled",
}

_BY_CODE = {
    "VALIDATION_ERROR": Exit.USAGE,
    "AUTHENTICATION_FAILED": Exit.AUTHENTICATION,
    "PERMISSION_DENIED": Exit.PERMISSION,
    "NOT_FOUND": Exit.NOT_FOUND,
    "CLUSTER_NOT_FOUND": Exit.NOT_FOUND,
    "ALREADY_EXISTS": Exit.CONFLICT,
    "CONFLICT": Exit.CONFLICT,
    "CLUSTER_CONNECTION_FAILED": Exit.UNREACHABLE,
    "REGISTRY_CONNECTION_FAILED": Exit.UNREACHABLE,
    "SERVICE_UNAVAILABLE": Exit.UNREACHABLE,
}

# What a person does next where the server cannot know that they sit at this command line.
_HINTS = {"AUTHENTICATION_FAILED": "Log in with: ksnap login"}


def exit_for_code(code: str) -> Exit:
    """The exit code of an error code on the wire; what is unknown counts as failed."""
    return _BY_CODE.get(code, Exit.FAILED)


def error_text(error: KsnapError) -> str:
    """Message with its code, details, output, and the hint on a line of its own."""
    lines = [f"error: {error.message} ({error.code})"]
    if error.details:
        lines += ["  " + line for line in error.details.splitlines()]
    if error.output:
        lines += ["  " + line for line in ("it wrote:", *error.output.splitlines())]
    hint = error.hint or _HINTS.get(error.code, "")
    if hint:
        lines.append(f"hint: {hint}")
    return "\n".join(lines)
