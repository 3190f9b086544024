"""`ksnap user ...`: who may use the server, as what."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ksnap.cli import environment, session
from ksnap.cli.invocation import Invocation
from ksnap.cli.options import PasswordFile
from ksnap.cli.secret_input import STDIN, read_secret
from ksnap.cli.verb import connected, group
from ksnap.errors import InvalidInput

app = group("Who may use the server, and as what.")

NEW_PASSWORD = "KSNAP_NEW_PASSWORD"  # noqa: S105 - a variable's name


class Role(StrEnum):
    """What a user may do."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    VIEWER = "viewer"


Username = Annotated[str, typer.Argument(metavar="USER", show_default=False)]


@connected(app, "add")
def add(
    cli: Invocation,
    username: Username,
    *,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.VIEWER,
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="E-mail address.")] = "",
    full_name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name to show.")] = "",
    password_file: PasswordFile = None,
) -> None:
    """Add a user. The password comes from --password-file, KSNAP_NEW_PASSWORD or a prompt."""
    password = read_secret(
        "password", file=password_file, file_option="--password-file", variable=NEW_PASSWORD, repeat=True
    )
    body = {"username": username, "password": password, "role": str(role), "email": email, "name": full_name}
    reply = cli.change("POST", "config", "user", "create", body=body)
    cli.screen.done(reply, f"Added user {username} ({role})")


@connected(app, "list")
def list_users(cli: Invocation) -> None:
    """List the users."""
    users = cli.get("config", "user", "list").get("users", [])
    columns = {"user": "username", "role": "role", "name": "name", "email": "email", "created": "created_at"}
    cli.screen.rows(users, columns, empty="There is no user")


@connected(app, "update")
def update(
    cli: Invocation,
    username: Username,
    role: Annotated[Role | None, typer.Option(help="What the user may do.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="E-mail address.")] = None,
    full_name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name to show.")] = None,
) -> None:
    """Change a user's role, e-mail address or name. A new role ends the user's logins."""
    given = (("role", role), ("email", email), ("name", full_name))
    changes = {field: str(value) for field, value in given if value is not None}
    if not changes:
        raise InvalidInput("Nothing to change", hint="Give --role, --email or --name")
    reply = cli.change("PUT", "config", "user", "update", body={"username": username, **changes})
    cli.screen.done(reply, f"Updated user {username}")


@connected(app, "remove")
def remove(cli: Invocation, username: Username) -> None:
    """Remove a user and end their logins."""
    reply = cli.change("DELETE", "config", "user", "delete", body={"username": username})
    cli.screen.done(reply, f"Removed user {username}")


@connected(app, "passwd")
def passwd(
    cli: Invocation,
    username: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Whose; else one's own.", show_default=False)
    ] = None,
    password_file: PasswordFile = None,
    current_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the current password from a file's first line; - is stdin."),
    ] = None,
) -> None:
    """Set a password: one's own, or, as an administrator, another user's. It ends the user's logins.

    The new one comes from --password-file, KSNAP_NEW_PASSWORD or a prompt; one's own also needs the current one, from
    --current-password-file, KSNAP_PASSWORD or a prompt.
    """
    if password_file == STDIN and current_password_file == STDIN:
        raise InvalidInput("Standard input holds one password", hint="Give the other one by file or environment")
    own = str(cli.ask("config", "user", "verify", body={})["user"]["username"])
    whose = username or own
    body: dict[str, Any] = {"username": whose}
    if whose == own:
        body["current_password"] = read_secret(
            "current password",
            file=current_password_file,
            file_option="--current-password-file",
            variable="KSNAP_PASSWORD",
        )
    body["password"] = read_secret(
        "new password", file=password_file, file_option="--password-file", variable=NEW_PASSWORD, repeat=True
    )
    reply = cli.change("PUT", "config", "user", "update", body=body)
    stored = session.load(environment.session_path())
    if stored is not None and stored.username == whose and stored.server == str(cli.api.server):
        session.forget(environment.session_path())
        cli.screen.done(reply, "Password changed; log in again with: ksnap login")
    else:
        cli.screen.done(reply, f"Password of {whose} changed")
