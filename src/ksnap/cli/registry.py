"""`ksnap registry ...`: where checkpoint images go."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation, read_text
from ksnap.cli.options import Name, PasswordFile
from ksnap.cli.secret_input import read_secret
from ksnap.cli.verb import connected, group
from ksnap.errors import InvalidInput, KsnapError

app = group("Registries that checkpoint images go to.")


@connected(app, "add")
def add(
    cli: Invocation,
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="host[:port][/path]; https unless it says http://.")],
    *,
    username: Annotated[str, typer.Option("--username", "-u", metavar="NAME", help="Account; none: anonymous.")] = "",
    password_file: PasswordFile = None,
    registry_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the CA that signed the registry's certificate.")
    ] = None,
    skip_tls_verify: Annotated[
        bool, typer.Option("--skip-tls-verify", help="Do not check the registry's certificate: unsafe.")
    ] = False,
) -> None:
    """Add a registry, then test that its account works.

    With --username, the password comes from --password-file, KSNAP_REGISTRY_PASSWORD or a prompt.
    """
    if password_file is not None and not username:
        raise InvalidInput("A password without an account", hint="Name the account with --username")
    body: dict[str, Any] = {"name": name, "url": url, "verify_ssl": not skip_tls_verify}
    if username:
        password = read_secret(
            "password", file=password_file, file_option="--password-file", variable="KSNAP_REGISTRY_PASSWORD"
        )
        body |= {"username": username, "password": password}
    if registry_ca is not None:
        body["ca_cert"] = read_text(registry_ca, "the registry's CA")
    if skip_tls_verify:
        cli.screen.warn(f"the certificate of {url} will not be checked, neither by the server nor by the nodes")
    cli.change("POST", "config", "registry", "create", body=body)
    cli.screen.note(f"Added registry {name}; testing its account")
    try:
        _login(cli, name)
    except KsnapError:
        cli.screen.note(f"registry {name} is stored all the same; test it again with: ksnap registry login {name}")
        raise


@connected(app, "list")
def list_registries(cli: Invocation) -> None:
    """List the registries."""
    registries = cli.get("config", "registry", "list").get("registry_configs", [])
    columns = {"name": "name", "url": "url", "account": "username", "verified": "verify_ssl"}
    cli.screen.rows(registries, columns, empty="No registry is configured")


@connected(app, "login")
def login(cli: Invocation, name: Name) -> None:
    """Test that the registry takes the stored account."""
    _login(cli, name)


@connected(app, "public-key")
def public_key(cli: Invocation) -> None:
    """Print the public key that checkpoint images are signed with, as PEM.

    `cosign verify --key FILE --insecure-ignore-tlog=true IMAGE` takes it.
    """
    reply = cli.get("config", "signing", "public-key")
    cli.screen.text(reply, str(reply.get("public_key", "")))


def _login(cli: Invocation, name: str) -> None:
    reply = cli.ask("registry", "login", body={"registry_config_name": name})
    cli.screen.done(reply, str(reply.get("message") or f"Registry {name} works"))


@connected(app, "remove")
def remove(cli: Invocation, name: Name) -> None:
    """Forget a registry and its account. Images stay in it."""
    reply = cli.change("DELETE", "config", "registry", "delete", body={"name": name})
    cli.screen.done(reply, f"Removed registry {name}")
