"""The trail of terminals: who opened which, bound it, and how it ended, with sizes and never content."""

from dataclasses import dataclass

from ksnap.identity.audit import record
from ksnap.identity.principal import Principal
from ksnap.store.database import Database


@dataclass(frozen=True, slots=True)
class Trail:
    """One session's lines."""

    database: Database
    who: Principal
    what: str
    """The container, and how the shell was chosen."""

    async def opened(self) -> None:
        await record(self.database, self.who, "terminal_opened", self.what)

    async def bound(self, address: str) -> None:
        await record(self.database, self.who, "terminal_bound", f"{self.what} from={address[:64]}")

    async def closed(self, outcome: str, *, shell: str, seconds: float, typed: int, shown: int) -> None:
        told = f"{self.what} ran={shell or '-'} seconds={seconds:.0f} bytes_in={typed} bytes_out={shown}"
        await record(self.database, self.who, "terminal_closed", told, outcome)
