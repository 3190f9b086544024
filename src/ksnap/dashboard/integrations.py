"""What a cluster's dashboard works with beside Kubernetes itself, and whether it works (contract, section 13).

An integration is anything with an id and a check; which there are for a cluster, the manager is told. A check is made
when somebody asks, at most every five seconds whoever asks, since no token is needed for that.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from ksnap.dashboard.statuses import ErrStatus, err_status
from ksnap.errors import KsnapError, NotFound, Unavailable
from ksnap.kube.connection import ClusterConnection

FRESH_S = 5.0
# A page waits for this answer.
CHECK_S = 10.0


class Integration(Protocol):
    @property
    def id(self) -> str: ...

    async def check(self) -> None:
        """Return if it works, else raise why not."""


@dataclass(frozen=True, slots=True)
class IntegrationState:
    """`error` is null, or an ErrStatus object always."""

    connected: bool
    lastChecked: str  # noqa: N815 - the contract's spelling, as it goes out
    error: ErrStatus | None
    latencyMs: int  # noqa: N815
    """Ours: how long the check took."""

    def terse(self, message: str) -> "IntegrationState":
        """The same for one who may be anybody: addresses and the words of others stay here."""
        if self.error is None:
            return self
        return replace(self, error={"ErrStatus": {**self.error["ErrStatus"], "message": message, "details": {}}})


@dataclass(slots=True)
class _Checked:
    at: float = float("-inf")
    state: IntegrationState | None = None
    message: str = ""


class Integrations:
    """The manager. `offered` makes a cluster's integrations, in the order of the list."""

    def __init__(self, offered: Callable[[ClusterConnection], Sequence[Integration]]) -> None:
        self._offered = offered
        self._checked: dict[tuple[ClusterConnection, str], _Checked] = {}
        self._turns: dict[tuple[ClusterConnection, str], asyncio.Lock] = {}

    async def state(self, own: ClusterConnection, name: str, *, in_full: bool) -> IntegrationState:
        """How one is, or NotFound. Not `in_full`: without what only a person with a login should read."""
        for each in self._offered(own):
            if each.id == name:
                checked = await self._check(own, each)
                if checked.state is None:
                    raise Unavailable("The integration was not checked")
                return checked.state if in_full else checked.state.terse(checked.message)
        raise NotFound(
            f"integration with given id {name[:64]} does not exist",
            details=f"there are {', '.join(each.id for each in self._offered(own)) or 'none'}",
        )

    async def all(self, own: ClusterConnection) -> list[dict[str, object]]:
        """Every one with its state."""
        offered = self._offered(own)
        states = await asyncio.gather(*(self.state(own, each.id, in_full=True) for each in offered))
        return [{"id": each.id, "state": state} for each, state in zip(offered, states, strict=True)]

    async def _check(self, own: ClusterConnection, integration: Integration) -> _Checked:
        key = own, integration.id
        self._forget_old()
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            known = self._checked.get(key)
            if known is None or time.monotonic() - known.at >= FRESH_S:
                known = self._checked[key] = await _checked(integration)
        return known

    def _forget_old(self) -> None:
        """Connections are made anew when a cluster's configuration changes: nothing holds on to the former ones."""
        old = time.monotonic() - FRESH_S
        for key in [key for key, each in self._checked.items() if each.at < old and not self._turns[key].locked()]:
            del self._checked[key]
            del self._turns[key]


async def _checked(integration: Integration) -> _Checked:
    began = time.monotonic()
    failure: KsnapError | None = None
    try:
        async with asyncio.timeout(CHECK_S):
            await integration.check()
    except KsnapError as error:
        failure = error
    except TimeoutError:
        failure = Unavailable("The integration did not answer in time", details=f"{CHECK_S:.0f} s")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    latency_ms = round((time.monotonic() - began) * 1000)
    state = IntegrationState(failure is None, now, err_status(failure) if failure is not None else None, latency_ms)
    return _Checked(time.monotonic(), state, failure.message if failure is not None else "")
