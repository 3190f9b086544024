"""Writes docs/reference/cli.md from the program itself: `python -m ksnap.cli.reference > docs/reference/cli.md`.

A test compares the file with what this makes, so that the page cannot go stale.
"""

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from ksnap.cli.environment import VARIABLES
from ksnap.cli.exits import MEANINGS
from ksnap.cli.main import make_app

WIDTH = 100

INTRODUCTION = """\
# Command line

Made by `make docs` from the program; do not edit.

`ksnap` talks to a server's public HTTP API; `kubectl ksnap` is the same program. Data goes to stdout, as a table or,
with `--output json`, as JSON; progress, remarks and errors go to stderr. No option takes a secret: passwords and tokens
come from a prompt without echo, a file, standard input (`-`) or the environment. The login is kept in
`$XDG_CONFIG_HOME/ksnap/session.json`, readable by its owner alone, and sent to no other server than its own.

While a job is followed, Ctrl-C asks the server to cancel it and waits until what it made is removed; `--detach` starts
it and returns. Completion of the shell: `ksnap --install-completion`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_tables(), *_commands(get_command(make_app()), "ksnap", None)]).rstrip() + "\n"


def _tables() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | meaning |\n|---|---|"
    yield from (f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items())
    yield "\n## Environment\n"
    yield "| variable | meaning |\n|---|---|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items())
    yield ""


def _commands(command: Any, name: str, parent: Any) -> Iterator[str]:
    """A command's help, then its verbs'. The types are typer's own, which it does not export."""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    yield f"## {context.command_path}\n"
    yield "```text"
    yield command.get_help(context).rstrip()
    yield "```\n"
    for verb, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, verb, context)


if __name__ == "__main__":
    sys.stdout.write(reference())
