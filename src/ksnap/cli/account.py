"""`ksnap login`, `logout`, `whoami`: the login at one server, kept for the other verbs."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ksnap.cli import environment, session
from ksnap.cli.invocation import Invocation
from ksnap.cli.options import PasswordFile
from ksnap.cli.screen import Output
from ksnap.cli.secret_input import read_secret
from ksnap.cli.verb import connected, local


def register(app: typer.Typer) -> None:
    connected(app, "login")(login)
    local(app, "logout")(logout)
    connected(app, "whoami")(whoami)


def login(
    cli: Invocation,
    username: Annotated[str, typer.Option("--username", "-u", metavar="NAME", help="User to log in as.")] = "admin",
    password_file: PasswordFile = None,
) -> None:
    """Log in and keep the token for the following commands.

    The password comes from --password-file, KSNAP_PASSWORD or a prompt.
    """
    path = environment.session_path()
    stored = session.load(path)
    server = cli.server(stored)
    ca_cert = cli.ca_cert(stored, server)
    api = cli.connect(server, token="", ca_cert=ca_cert)
    password = read_secret("password", file=password_file, file_option="--password-file", variable="KSNAP_PASSWORD")
    # Repeating it could count as several wrong logins, so it is sent once.
    reply = cli.run(api.change("POST", "config", "user", "login", body={"username": username, "password": password}))
    user = reply["user"]
    made = session.Session(
        server=str(server),
        token=str(reply["token"]),
        username=str(user["username"]),
        role=str(user["role"]),
        expires_at=str(reply.get("expires_at") or ""),
        ca_cert=ca_cert,
    )
    session.save(path, made)
    shown = {"server": made.server, "username": made.username, "role": made.role, "expires_at": made.expires_at}
    cli.screen.done(shown, f"Logged in at {made.server} as {made.username} ({made.role})")
    if user.get("must_change_password"):
        cli.screen.note("hint: this password works once; choose your own now with: ksnap user passwd")


def logout(cli: Invocation) -> None:
    """Forget the stored login."""
    had = session.forget(environment.session_path())
    cli.screen.done({"logged_out": had}, "Logged out" if had else "There was no login")


def whoami(cli: Invocation) -> None:
    """Show who is logged in, as the server sees it."""
    user = cli.ask("config", "user", "verify", body={})["user"]
    stored = session.load(environment.session_path())
    shown = {**user, "server": str(cli.api.server)}
    if stored is not None and not environment.variable(environment.TOKEN):
        shown["expires_at"] = stored.expires_at
        if cli.screen.output is Output.TABLE and stored.expires_at:
            left = datetime.fromisoformat(stored.expires_at).astimezone(UTC) - datetime.now(UTC)
            shown["expires_at"] += f" (in {int(left.total_seconds() // 60)} min)"
    cli.screen.record(shown)
