"""Requests per clock hour (contract, section 9): each user, each agent's node and each address without a token.

The dashboard's pages ask often: there each user and address has another, generous budget beside this one.

All windows end together, so counting is one dictionary that is thrown away at the full hour: less than any library's
storage needs, and nothing to expire. Several servers on PostgreSQL share a table instead.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from ksnap.errors import RateLimited
from ksnap.identity.principal import Principal, Role
from ksnap.settings import ServerSettings
from ksnap.store.database import Database
from ksnap.store.tables import RateCounter

WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Budget:
    """Who is counted, and how many requests an hour they have."""

    key: str
    limit: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the X-RateLimit headers say."""

    limit: int
    remaining: int
    reset: int
    """Epoch seconds of the next full hour."""

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class Counters(Protocol):
    """Counts by key within one window."""

    async def add(self, key: str, window_end: datetime) -> int:
        """Count one more; the sum, with it."""

    async def read(self, key: str, window_end: datetime) -> int:
        """The sum so far."""


class MemoryCounters:
    """Counts of one process."""

    def __init__(self) -> None:
        self._window_end = datetime.min.replace(tzinfo=UTC)
        self._counts: Counter[str] = Counter()

    async def add(self, key: str, window_end: datetime) -> int:
        self._turn(window_end)
        self._counts[key] += 1
        return self._counts[key]

    async def read(self, key: str, window_end: datetime) -> int:
        self._turn(window_end)
        return self._counts.get(key, 0)

    def _turn(self, window_end: datetime) -> None:
        if window_end != self._window_end:
            self._window_end = window_end
            self._counts.clear()


class SharedCounters:
    """Counts in PostgreSQL, for all servers of an installation."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cleaned_for = datetime.min.replace(tzinfo=UTC)

    async def add(self, key: str, window_end: datetime) -> int:
        row = f"{int(window_end.timestamp())}:{key}"
        statement = insert(RateCounter).values(key=row, requests=1, expires_at=window_end)
        counted = statement.on_conflict_do_update(
            index_elements=[RateCounter.key], set_={"requests": RateCounter.requests + 1}
        ).returning(RateCounter.requests)
        async with self._database.writing() as session:
            if self._cleaned_for != window_end:
                await session.execute(delete(RateCounter).where(RateCounter.expires_at < window_end))
                self._cleaned_for = window_end
            return (await session.execute(counted)).scalar_one()

    async def read(self, key: str, window_end: datetime) -> int:
        row = f"{int(window_end.timestamp())}:{key}"
        async with self._database.reading() as session:
            return (await session.scalar(select(RateCounter.requests).where(RateCounter.key == row))) or 0


class Limits:
    """The budgets of an installation."""

    def __init__(self, counters: Counters, settings: ServerSettings) -> None:
        self._counters = counters
        self._settings = settings

    def of_principal(self, principal: Principal, *, on_dashboard: bool = False) -> Budget:
        if on_dashboard:
            return Budget(f"dashboard:user:{principal.username}", self._settings.rate_limit_dashboard)
        if principal.role is Role.AGENT:
            return Budget(principal.username, self._settings.rate_limit_agent)
        return Budget(f"user:{principal.username}", self._settings.rate_limit_user)

    def of_address(self, address: str, *, on_dashboard: bool = False) -> Budget:
        if on_dashboard:
            return Budget(f"dashboard:address:{network_of(address)}", self._settings.rate_limit_dashboard)
        return Budget(f"address:{network_of(address)}", self._settings.rate_limit_address)

    async def count(self, budget: Budget, now: datetime) -> Standing:
        """Count a request; RateLimited (with the standing as its `standing`) once the budget is used up."""
        end = window_end(now)
        used = await self._counters.add(budget.key, end)
        standing = _standing(budget, used, end)
        if used > budget.limit:
            raise OverLimit(standing, retry_after_s=max(1, int((end - now).total_seconds())))
        return standing

    async def peek(self, budget: Budget, now: datetime) -> Standing:
        """The standing without counting."""
        end = window_end(now)
        return _standing(budget, await self._counters.read(budget.key, end), end)

    def unused(self, budget: Budget, now: datetime) -> Standing:
        """The standing of one who has asked for nothing yet: for what is exempt, and until it is known better."""
        return _standing(budget, 0, window_end(now))

    async def check(self, budget: Budget, now: datetime) -> None:
        """Refuse, uncounted, who has nothing left: before anything is spent on the request."""
        standing = await self.peek(budget, now)
        if standing.remaining == 0:
            raise OverLimit(standing, retry_after_s=max(1, standing.reset - int(now.timestamp())))


class OverLimit(RateLimited):
    """Too many requests this hour, and when to come again."""

    def __init__(self, standing: Standing, *, retry_after_s: int) -> None:
        super().__init__(
            "Too many requests",
            details=f"{standing.limit} requests an hour are allowed",
            hint=f"Try again in {retry_after_s} seconds",
        )
        self.standing = standing
        self.retry_after_s = retry_after_s


def window_end(now: datetime) -> datetime:
    """The next full hour."""
    return now.replace(minute=0, second=0, microsecond=0) + WINDOW


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which one subscriber can use up at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


def _standing(budget: Budget, used: int, end: datetime) -> Standing:
    return Standing(budget.limit, max(0, budget.limit - used), int(end.timestamp()))
