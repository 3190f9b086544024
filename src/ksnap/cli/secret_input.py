"""How a secret comes in: a file, standard input, the environment, or a prompt without echo. Never an argument.

The first line counts, without its line end: files and pipes mostly end in one that nobody meant.
"""

import getpass
import sys
from pathlib import Path

from ksnap.cli import environment
from ksnap.cli.invocation import read_text
from ksnap.errors import InvalidInput

STDIN = Path("-")


def read_secret(what: str, *, file: Path | None, file_option: str, variable: str, repeat: bool = False) -> str:
    """One secret. `what` names it in the prompt; `repeat` asks twice, for a secret that is being made."""
    if file == STDIN:
        return _given(sys.stdin.readline(), what, source="standard input")
    if file is not None:
        return _given(read_text(file, f"the file of the {what}"), what, source=str(file))
    from_environment = environment.variable(variable)
    if from_environment:
        return from_environment
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"No {what} given",
            details="standard input is no terminal, so nothing can be asked",
            hint=f"Use {file_option} FILE, {file_option} - for standard input, or {variable}",
        )
    return _prompted(what, repeat=repeat)


def _given(text: str, what: str, *, source: str) -> str:
    secret = text.split("\n", 1)[0].rstrip("\r")
    if not secret:
        raise InvalidInput(f"The {what} is empty", details=f"first line of {source}")
    return secret


def _prompted(what: str, *, repeat: bool) -> str:
    try:
        secret = getpass.getpass(f"{what}: ".capitalize(), stream=sys.stderr)
        if repeat and secret and secret != getpass.getpass("Again: ", stream=sys.stderr):
            raise InvalidInput(f"The two {what}s differ", hint="Nothing was changed; try again")
    except EOFError:
        secret = ""
    if not secret:
        raise InvalidInput(f"The {what} is empty", hint="Nothing was sent")
    return secret
