"""`ksnap serve`, `ksnap agent`, `ksnap version`: the programs themselves.

The server's and the agent's packages are imported when they are started, and by no other verb: the base install does
not have them.
"""

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.screen import Output
from ksnap.cli.verb import local, program
from ksnap.errors import InvalidInput, KsnapError


def register(app: typer.Typer) -> None:
    program(app, "serve")(serve)
    program(app, "agent")(agent)
    local(app, "version")(version)


def serve(
    cli: Invocation,
    *,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the database, the keys and the archives.")
    ] = None,
) -> None:
    """Run the server: API, jobs, documentation pages at /docs.

    All its settings are environment variables, KSNAP_...; these options win over them.
    """
    from pydantic import ValidationError

    from ksnap.settings import ServerSettings

    if find_spec("fastapi") is None:
        raise _not_installed("server", "fastapi")
    options = {"host": host, "port": port, "data_dir": data_dir}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        ServerSettings(**given)
    except ValidationError as error:
        raise _bad_settings(error.errors(include_url=False, include_input=False)) from None
    # The server takes this process's place, so that it does not carry the command line's libraries with it.
    # -P: no module of the folder that it happens to be started in.
    environment = os.environ | {f"KSNAP_{name.upper()}": str(value) for name, value in given.items()}
    os.execve(sys.executable, [sys.executable, "-P", "-m", "ksnap.server"], environment)  # noqa: S606


def agent(cli: Invocation) -> None:
    """Run a node's agent. Its settings are environment variables, KSNAP_AGENT_...; the chart sets them."""
    try:
        from pydantic import ValidationError

        from ksnap.agent.main import run
        from ksnap.agent.settings import AgentSettings
    except ModuleNotFoundError as error:
        raise _not_installed("agent", error.name or "") from error
    try:
        settings = AgentSettings()
    except ValidationError as error:
        raise _bad_settings(error.errors(include_url=False, include_input=False)) from None
    run(settings)


def version(cli: Invocation) -> None:
    """Show the version."""
    from ksnap import __version__

    if cli.screen.output is Output.JSON:
        cli.screen.record({"version": __version__, "python": platform.python_version()})
    else:
        print(f"ksnap {__version__}")


def _not_installed(extra: str, module: str) -> KsnapError:
    return KsnapError(
        f"The {extra} is not installed",
        details=f"Python has no module {module}",
        hint=f"pip install 'ksnap[{extra}]'",
    )


def _bad_settings(errors: list[Any]) -> InvalidInput:
    """Which variable is wrong and why; never its value, which may be a secret."""
    lines = [f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in errors]
    return InvalidInput("A setting is wrong", details="\n".join(lines), hint="See docs/reference/settings.md")
