"""What a verb gets to work with: the screen, and the server it talks to, resolved from options, environment and login.

Verbs are plain functions, so that a prompt can be interrupted; `run` enters the event loop for each exchange.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ksnap.cli import environment, session
from ksnap.cli.screen import Screen
from ksnap.cli.server_url import ServerUrl, parse_server_url
from ksnap.errors import InvalidInput, NotAuthenticated

if TYPE_CHECKING:
    import asyncio

    from ksnap.cli.api import Api, Json

T = TypeVar("T")

DEFAULT_SERVER = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, as the options said it; None where they did not."""

    server: str | None = None
    ca_file: Path | None = None
    insecure: bool = False


class Invocation:
    """One call of the command line."""

    def __init__(self, screen: Screen, target: Target) -> None:
        self.screen = screen
        self._target = target
        self._api: Api | None = None
        self._runner: asyncio.Runner | None = None

    @property
    def api(self) -> "Api":
        """The client, with the login that belongs to its server."""
        if self._api is None:
            stored = session.load(environment.session_path())
            server = self.server(stored)
            self._api = self.connect(server, token=_token(stored, server), ca_cert=self.ca_cert(stored, server))
        return self._api

    def connect(self, server: ServerUrl, *, token: str, ca_cert: str) -> "Api":
        """A client of one server; this warns of what is not protected."""
        from ksnap.cli.api import Api  # aiohttp takes longer to import than all the rest

        if self._target.insecure:
            self.screen.warn(f"the certificate of {server} is not checked: anyone in between can read and change this")
        if not server.encrypted and not server.local:
            self.screen.warn(f"{server} is not encrypted: login and data can be read on the way")
        self._api = Api(server, token=token, ca_cert=ca_cert, insecure=self._target.insecure)
        return self._api

    def server(self, stored: session.Session | None) -> ServerUrl:
        """Option, environment, stored login, default: the first that says something."""
        told = self._target.server or environment.variable(environment.SERVER)
        return parse_server_url(told or (stored.server if stored else DEFAULT_SERVER))

    def ca_cert(self, stored: session.Session | None, server: ServerUrl) -> str:
        """PEM of the CA to trust: the file named now, else the one the login was made with."""
        named = self._target.ca_file or environment.variable(environment.CA_FILE)
        if named:
            return read_text(Path(named), "the CA file")
        return stored.ca_cert if stored and stored.server == str(server) else ""

    def get(self, *path: str, query: Mapping[str, object] | None = None) -> "Json":
        return self.run(self.api.get(*path, query=query))

    def ask(self, *path: str, body: "Json", timeout_s: float = 120.0) -> "Json":
        """A POST without effects; long enough for a server that asks a slow cluster or registry in turn."""
        return self.run(self.api.ask(*path, body=body, timeout_s=timeout_s))

    def change(
        self, method: str, *path: str, body: "Json | None" = None, query: Mapping[str, object] | None = None
    ) -> "Json":
        return self.run(self.api.change(method, *path, body=body, query=query))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of an exchange; one event loop serves all exchanges of a call."""
        if self._runner is None:
            import asyncio  # a sixth of the start-up, which help and completion need not wait for

            self._runner = asyncio.Runner()
        return self._runner.run(work)

    def close(self) -> None:
        if self._runner is None:
            return
        if self._api is not None:
            self._runner.run(self._api.close())
        self._runner.close()

    def cluster_name(self, told: str | None) -> str:
        """The cluster meant: as told, else KSNAP_CLUSTER, else the only one there is."""
        name = told or environment.variable(environment.CLUSTER)
        if name:
            return name
        known = [str(each["name"]) for each in self.get("config", "clusters", "list").get("cluster_configs", [])]
        if len(known) == 1:
            return known[0]
        raise InvalidInput(
            "Which cluster?",
            details="clusters: " + ", ".join(known) if known else "no cluster is configured",
            hint="Name it with --cluster or KSNAP_CLUSTER"
            if known
            else "Add one with: ksnap cluster add NAME --kubeconfig FILE",
        )


def _token(stored: session.Session | None, server: ServerUrl) -> str:
    """The token for this server and no other."""
    given = environment.variable(environment.TOKEN)
    if given:
        return given
    if stored is None or stored.server != str(server):
        raise NotAuthenticated(
            "Not logged in",
            details=f"no login for {server}",
            hint=f"ksnap login --server {server}",
        )
    stored.check_fresh(datetime.now(UTC))
    return stored.token


def read_text(path: Path, what: str) -> str:
    """A small text file that the user named, or InvalidInput."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InvalidInput(f"Cannot read {what}", details=f"{path}: {reason}") from error
