"""How a `tar` in a container did, out of its exit status and its last words. Pure.

The words are those of GNU tar and busybox; of the container runtimes, what they say of a program that is not there.
"""

from ksnap.errors import Conflict, KsnapError, NotFound, NotPermitted
from ksnap.kube.exec_frames import Ending

_NO_PROGRAM = ("executable file not found", "no such file or directory")
# What a shell or a runtime answers for a program that cannot be started, or is not there.
_NOT_STARTED = (126, 127)
# GNU tar's exit status 1: the tar is whole, but of a file that was being written to it holds some moment or other.
_CHANGED = 1
_CHANGED_WORDS = ("file changed as we read it", "file removed before we read it", "file shrank by")
WORDS_LIMIT = 4096


class TarFailed(KsnapError):
    """`tar` says that what it wrote is not all."""

    status = 502


def problem(ending: Ending, words: str, *, path: str, has_begun: bool) -> KsnapError | None:
    """Why the download failed; None if it did not. `has_begun`: some member came before."""
    if ending.exit_code == 0 or (ending.exit_code == _CHANGED and _only_changed(words)):
        return None
    if not has_begun and (at_once := _problem_at_once(ending, words, path)) is not None:
        return at_once
    if ending.exit_code is None:
        return TarFailed("tar could not be run in the container", details=ending.message[:WORDS_LIMIT])
    return TarFailed("tar failed in the container", details=f"exit status {ending.exit_code}", output=words)


def _problem_at_once(ending: Ending, words: str, path: str) -> KsnapError | None:
    """What the caller can do something about."""
    if ending.exit_code is None and any(each in ending.message.lower() for each in _NO_PROGRAM):
        return _no_tar(ending.message)
    if ending.exit_code in _NOT_STARTED:
        return _no_tar(words)
    if "No such file or directory" in words:
        return NotFound("The path is not in the container", details=path)
    if "Permission denied" in words:
        return NotPermitted("The container's user may not read the path", details=path)
    return None


def _only_changed(words: str) -> bool:
    lines = [line.lower() for line in words.splitlines() if line.strip()]
    return bool(lines) and all(any(each in line for each in _CHANGED_WORDS) for line in lines)


def _no_tar(said: str) -> Conflict:
    return Conflict(
        "The container has no tar, by which files are read",
        details=said[:500],
        hint="Attach an ephemeral container whose image has one (kubectl debug), or write the file to a volume",
    )
