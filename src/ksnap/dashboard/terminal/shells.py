"""Which shells are tried, and when the next one is (contract, 9.4). Pure."""

from collections.abc import Sequence

from ksnap.kube.exec_frames import Ending

SHELLS = ("bash", "sh", "powershell", "cmd")
NOT_STARTED_CODES = frozenset({126, 127})
"""Where a runtime starts commands through a shell of its own: found but not executable; not found."""


def candidates(asked: str, further: Sequence[str] = ()) -> tuple[str, ...]:
    """The one that is asked for by one of the four names, else all of them and what the administrator adds."""
    if asked in SHELLS:
        return (asked,)
    return (*SHELLS, *(each for each in further if each not in SHELLS))


def did_not_start(ending: Ending, *, stdin_delivered: bool) -> bool:
    """Whether there never was a process: then nothing of what was typed is lost by trying another shell.

    A shell that ran and failed has ended as any other: its exit code may be the last command's.
    """
    if ending.exit_code is None:
        return True
    return ending.exit_code in NOT_STARTED_CODES and not stdin_delivered
