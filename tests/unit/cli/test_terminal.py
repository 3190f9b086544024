"""What a terminal gets: a bar with stage, bytes and rate; colours unless NO_COLOR; control characters never."""

import os
import pty
import re
import subprocess
import sys

import pytest

SHOW = """
import time
from ksnap.cli.progress import Step, view
with view() as shown:
    for done in range(0, 11):
        shown.show(Step("pushing", message="layer [red]one[/red]", bytes_done=done * 1_000_000, bytes_total=10_000_000))
        time.sleep(0.03)
    shown.note("a remark with \\x1b[31m")
"""
TABLE = """
from ksnap.cli.screen import Output, Screen
Screen(Output.TABLE).rows([{"id": "\\x1b[2Jx", "status": "failed"}], {"id": "id", "status": "status"}, empty="")
"""


def on_a_terminal(code: str, **environment: str) -> str:
    """What the code writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # EIO: the other side is closed
        pass
    os.close(ours)
    assert process.wait(timeout=20) == 0, written
    return written.decode()


def test_a_bar_has_stage_bytes_and_rate() -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_a_terminal(SHOW))
    assert "pushing" in shown
    assert "10.0 MB of 10.0 MB" in shown
    assert "MB/s" in shown
    assert "[red]" in shown, "messages are no markup"


@pytest.mark.parametrize("code", [SHOW, TABLE])
def test_no_color_means_none(code: str) -> None:
    colours = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;)[0-9;]*m")
    assert not colours.search(on_a_terminal(code, NO_COLOR="1"))


def test_states_have_colours_and_foreign_text_no_control() -> None:
    shown = on_a_terminal(TABLE)
    assert "\x1b[31mfailed" in shown
    assert "\x1b[2J" not in shown
