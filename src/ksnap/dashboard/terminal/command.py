"""The shells of one session, one after the other, until one has run (contract, 9.4)."""

from collections.abc import Sequence

from ksnap.dashboard.terminal.attempt import Attempt, Ended
from ksnap.dashboard.terminal.closing import EXITED, POD_DELETED, Closing, failed
from ksnap.dashboard.terminal.debug_container import until_running
from ksnap.dashboard.terminal.place import Place
from ksnap.dashboard.terminal.screen import Screen
from ksnap.dashboard.terminal.shells import did_not_start
from ksnap.dashboard.terminal.typed import Typed
from ksnap.errors import KsnapError, NotFound

CONNECTED = "Connection established"


class Command:
    """What runs in the container for a session."""

    def __init__(self, place: Place, shells: Sequence[str], typed: Typed, screen: Screen) -> None:
        self.shell = ""
        """The one that is tried or runs; empty for a container's first process."""
        self.attempt = Attempt(typed, screen, self._connected)
        self._place = place
        self._shells = shells
        self._typed = typed
        self._screen = screen
        self._stopped = False

    def stop_trying(self) -> None:
        """Nobody wants another shell any more."""
        self._stopped = True

    async def run(self) -> Closing:
        """Until a shell has run, or none can."""
        try:
            ended = await (self._try_all() if self._shells else self._attach())
        except KsnapError as error:
            # Not the shell's fault: another one would meet the same.
            return await self._deleted() or failed(". ".join(each for each in (error.message, error.details) if each))
        ending = ended.ending
        if ending is not None and ending.exit_code == 0:
            return EXITED
        if (deleted := await self._deleted()) is not None:
            return deleted
        if ending is None:
            return failed("The connection to the container broke")
        return failed(ending.message) if _failed_to_start(ended) else EXITED

    async def _try_all(self) -> Ended:
        for shell in self._shells:
            self.shell = shell
            self.attempt = Attempt(self._typed, self._screen, self._connected)
            ended = await self.attempt.run(self._place.shell(shell))
            if not _failed_to_start(ended) or self._stopped or shell == self._shells[-1]:
                return ended
            self._screen.notice(f"{shell} could not be started: the next shell is tried")
        raise AssertionError("no shell was to be tried")

    async def _attach(self) -> Ended:
        """To what a debug container runs: whatever is typed is for it."""
        await until_running(self._place, self._screen)
        self.attempt = Attempt(self._typed, self._screen, self._connected, settle_s=0)
        return await self.attempt.run(self._place.first_process())

    def _connected(self) -> None:
        self._screen.notice(CONNECTED)

    async def _deleted(self) -> Closing | None:
        """Whether the pod's end was the process's."""
        try:
            pod = await self._place.pod_now()
        except NotFound:
            return POD_DELETED
        except KsnapError as error:
            return POD_DELETED if error.status == NotFound.status else None
        metadata = pod.get("metadata")
        is_deleted = isinstance(metadata, dict) and bool(metadata.get("deletionTimestamp"))
        return POD_DELETED if is_deleted else None


def _failed_to_start(ended: Ended) -> bool:
    return ended.ending is not None and did_not_start(ended.ending, stdin_delivered=ended.stdin_delivered)
