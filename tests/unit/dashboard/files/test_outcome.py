"""How a tar in a container did."""

import pytest

from ksnap.dashboard.files.outcome import TarFailed, problem
from ksnap.errors import Conflict, KsnapError, NotFound, NotPermitted
from ksnap.kube.exec_frames import Ending

CHANGED = "tar: log/app.log: file changed as we read it\n"


def _problem(ending: Ending, words: str = "", *, has_begun: bool = False) -> KsnapError | None:
    return problem(ending, words, path="/x", has_begun=has_begun)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(0), ""),
        (Ending(0), "tar: removing leading '/' from member names"),
        (Ending(1), CHANGED),
        (Ending(1), CHANGED * 2),
    ],
)
def test_it_is_whole(ending: Ending, words: str) -> None:
    assert _problem(ending, words) is None
    assert _problem(ending, words, has_begun=True) is None


@pytest.mark.parametrize(
    ("ending", "words", "kind"),
    [
        (Ending(None, 'exec: "tar": executable file not found in $PATH'), "", Conflict),
        (Ending(127), "sh: tar: not found", Conflict),
        (Ending(None, "container is not running"), "", TarFailed),
        (Ending(2), "tar: x: Cannot stat: No such file or directory\ntar: Exiting with failure", NotFound),
        (Ending(1), "tar: can't open 'x': Permission denied", NotPermitted),
        (Ending(1), "", TarFailed),
        (Ending(137), "", TarFailed),
    ],
)
def test_it_failed_at_once(ending: Ending, words: str, kind: type[KsnapError]) -> None:
    assert type(_problem(ending, words)) is kind


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, CHANGED + "tar: y: Permission denied\n"),
        (2, CHANGED),
        (2, "tar: y: Cannot open: Permission denied"),
        (127, ""),
    ],
)
def test_it_failed_in_the_middle(code: int, words: str) -> None:
    failed = _problem(Ending(code), words, has_begun=True)
    assert isinstance(failed, TarFailed)
    assert failed.output == words
