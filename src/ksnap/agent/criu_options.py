"""CRIU's options for runc's dumps on this node: the file /etc/criu/runc.conf, of which only our marked lines are ours.

runc hands that file to CRIU by itself (runc 1.1, "criu config"). A line that somebody else wrote is neither changed
nor repeated; ours stand between two marks, so that they can be taken back exactly.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

BEGIN = "# ksnap: begin (written by the ksnap agent, taken back when it ends)"
END = "# ksnap: end"
FILE_NAME = "runc.conf"


def merged(text: str, wanted: Iterable[str]) -> str:
    """The file's text with our lines, and only those of `wanted` that nobody else has set."""
    rest = without_ours(text)
    present = set(options_of(rest))
    ours = [option for option in wanted if option not in present]
    if not ours:
        return rest
    head = rest if not rest or rest.endswith("\n") else rest + "\n"
    return head + "\n".join([BEGIN, *ours, END]) + "\n"


def without_ours(text: str) -> str:
    """The file's text as it was before us."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.strip() == BEGIN:
            inside = True
        elif inside and line.strip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)


def options_of(text: str) -> list[str]:
    """The options in force: each line's first word, less comments, without leading dashes."""
    lines = (line.split("#", 1)[0].split() for line in text.splitlines())
    return [words[0].lstrip("-") for words in lines if words]


def read_options(config_dir: Path) -> list[str]:
    """The options in force on the node; none if the file is absent or cannot be read."""
    try:
        return options_of((config_dir / FILE_NAME).read_text())
    except OSError:
        return []


def apply_options(config_dir: Path, wanted: Iterable[str]) -> bool:
    """Write our lines; False if they stood there. The file is replaced whole: CRIU may read it at any moment."""
    return _rewrite(config_dir, lambda text: merged(text, wanted))


def take_back_options(config_dir: Path) -> bool:
    """Remove our lines; a file that held nothing else goes. False if there were none."""
    return _rewrite(config_dir, without_ours)


def _rewrite(config_dir: Path, change: Callable[[str], str]) -> bool:
    path = config_dir / FILE_NAME
    before = path.read_text() if path.exists() else ""
    after = change(before)
    if after == before:
        return False
    if not after:
        path.unlink(missing_ok=True)
        return True
    temporary = path.with_name(f".{FILE_NAME}.ksnap")
    temporary.write_text(after)
    temporary.chmod(0o644)
    os.replace(temporary, path)
    return True
