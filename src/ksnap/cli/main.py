"""The program: all verbs put together. It also runs as `kubectl ksnap`, when it is started as `kubectl-ksnap`."""

import sys
from pathlib import Path

import typer

from ksnap.cli import (
    account,
    checkpoint,
    cluster,
    doctor,
    hook,
    job,
    program,
    registry,
    restore,
    retention,
    user,
    watch,
    watcher,
)

SUMMARY = "Freeze running pods of Kubernetes, and start pods from what was frozen."


def make_app() -> typer.Typer:
    """The whole command line. Help is plain text: it is there in a tenth of a second, and pipes."""
    app = typer.Typer(
        help=SUMMARY,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    account.register(app)
    for name, part in (("cluster", cluster), ("registry", registry), ("checkpoint", checkpoint)):
        app.add_typer(part.app, name=name)
    app.add_typer(retention.app, name="retention")
    app.add_typer(hook.app, name="hook")
    restore.register(app)
    doctor.register(app)
    app.add_typer(job.app, name="job")
    watch.register(app)
    app.add_typer(watcher.app, name="watcher")
    app.add_typer(user.app, name="user")
    program.register(app)
    return app


def main() -> None:
    """Where the scripts `ksnap` and `kubectl-ksnap` begin."""
    make_app()(prog_name="kubectl ksnap" if Path(sys.argv[0]).name == "kubectl-ksnap" else "ksnap")
