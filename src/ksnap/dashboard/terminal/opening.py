"""Opens a session: whatever can be refused is refused here, before there is an id (contract, 9.1).

The right is asked for first. Who may exec but not read pods gets a session all the same; what is wrong with the pod
then shows once it is bound.
"""

from dataclasses import dataclass

from pydantic import SecretStr

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.terminal import debug_container
from ksnap.dashboard.terminal.containers import find
from ksnap.dashboard.terminal.opened import Opened
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.sessions import TerminalSessions
from ksnap.dashboard.terminal.shells import SHELLS, candidates
from ksnap.dashboard.terminal.tokens import digest
from ksnap.dashboard.terminal.trail import Trail
from ksnap.errors import Conflict, InvalidInput, NotFound
from ksnap.identity.principal import Principal
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.pods import get_pod
from ksnap.store.database import Database


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a terminal, and where."""

    namespace: str
    pod: str
    container: str
    shell: str
    """One of the four; any other word: all are tried."""
    who: Principal
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Terminals:
    """What routes call."""

    sessions: TerminalSessions
    database: Database

    async def open_shell(self, at: ClusterAsCaller, asked: Asked) -> str:
        """A session of a shell in a container; its id."""
        with self.sessions.reserved(digest(asked.token.get_secret_value())) as reservation:
            await _require(at, asked, "create", "exec")
            await _check(at, asked)
            shells = candidates(asked.shell, self.sessions.settings.further_shells)
            place = Place(at.api, at.cluster, asked.namespace, asked.pod, asked.container)
            trail = Trail(self.database, asked.who, f"{place.named} shell={','.join(shells)}")
            await trail.opened()
            return self.sessions.begin(Opened(place, shells, reservation.token_digest, trail), reservation)

    async def open_debug_container(self, at: ClusterAsCaller, asked: Asked, image: str) -> str:
        """A session of a new ephemeral container beside a container; its id. No image: the setting's."""
        image = image or self.sessions.settings.debug_image
        if not image:
            raise InvalidInput(
                "No image for a debug container is named", hint="Give debug=IMAGE, or set KSNAP_TERMINAL_DEBUG_IMAGE"
            )
        with self.sessions.reserved(digest(asked.token.get_secret_value())) as reservation:
            await _require(at, asked, "patch", "ephemeralcontainers")
            await _require(at, asked, "create", "attach")
            await _check(at, asked)
            name = await debug_container.add(
                at.api,
                asked.namespace,
                asked.pod,
                target=asked.container,
                image=image,
                shell=asked.shell if asked.shell in SHELLS else "",
            )
            place = Place(at.api, at.cluster, asked.namespace, asked.pod, name)
            trail = Trail(self.database, asked.who, f"{place.named} debugs={asked.container} image={image[:200]}")
            await trail.opened()
            return self.sessions.begin(Opened(place, (), reservation.token_digest, trail), reservation)


async def _require(at: ClusterAsCaller, asked: Asked, verb: str, subresource: str) -> None:
    await at.reviews.require(verb, "pods", namespace=asked.namespace, name=asked.pod, subresource=subresource)


async def _check(at: ClusterAsCaller, asked: Asked) -> None:
    """NotFound without the pod or the container, Conflict if it does not run."""
    try:
        pod = await get_pod(at.api, asked.namespace, asked.pod)
    except KubeRefusal as refusal:
        if refusal.status == 403:
            return
        raise
    container = find(pod, asked.container)
    where = f"pod {asked.namespace}/{asked.pod}"
    if container is None:
        raise NotFound(f"Container {asked.container} not found", details=where)
    if not container.is_running:
        raise Conflict(f"Container {asked.container} is not running", details=f"{where}: {container.standing}")
