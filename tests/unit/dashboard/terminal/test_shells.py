"""Which shell is next (section 9.4)."""

import pytest

from ksnap.dashboard.terminal.shells import SHELLS, candidates, did_not_start
from ksnap.kube.exec_frames import Ending


def test_one_of_the_four_is_taken_alone() -> None:
    for shell in SHELLS:
        assert candidates(shell, ["zsh"]) == (shell,)


@pytest.mark.parametrize("asked", ["", "zsh", "BASH", "bash ", "/bin/sh"])
def test_else_all_are_tried_in_order_and_then_the_administrators(asked: str) -> None:
    assert candidates(asked) == ("bash", "sh", "powershell", "cmd")
    assert candidates(asked, ["ash", "sh", "zsh"]) == ("bash", "sh", "powershell", "cmd", "ash", "zsh")


def test_only_what_never_ran_makes_room_for_the_next() -> None:
    assert did_not_start(Ending(None, "no such file"), stdin_delivered=True)
    for code in (126, 127):
        assert did_not_start(Ending(code), stdin_delivered=False)
        assert not did_not_start(Ending(code), stdin_delivered=True), "it was the last command's"
    for code in (0, 1, 3, 130, 137):
        assert not did_not_start(Ending(code), stdin_delivered=False)
