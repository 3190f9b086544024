"""Logins and the tokens that come of them.

An unknown user, a wrong password and a lockout get the same answer, and the first two take the same time. An attempt
is counted before its password is looked at, so that many at once do not slip past the lockout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.errors import NotAuthenticated
from ksnap.identity.audit import record
from ksnap.identity.passwords import Passwords
from ksnap.identity.principal import Principal, Role
from ksnap.identity.tokens import Claims, IssuedToken, Tokens, invalid_token
from ksnap.identity.users import utc_now
from ksnap.store.database import Database
from ksnap.store.tables import LoginFailure, User


@dataclass(frozen=True, slots=True)
class Lockout:
    """How many failures in a row, and how long logins are refused then."""

    failures: int
    seconds: float

    def holds(self, failures: int, last_at: datetime, now: datetime) -> bool:
        return failures >= self.failures and not self.is_over(last_at, now)

    def is_over(self, last_at: datetime, now: datetime) -> bool:
        return now >= last_at + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded."""

    token: IssuedToken
    user: User


class Logins:
    """Checks passwords and tokens."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        tokens: Tokens,
        lockout: Lockout,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._tokens = tokens
        self._lockout = lockout
        self._clock = clock

    async def login(self, username: str, password: SecretStr, *, address: str, request_id: str) -> Login:
        """A token for the right password; else NotAuthenticated, whatever was wrong. Leaves a line in the trail."""
        user = await self._attempt(username, password, address)
        who = Principal(username, Role(user.role) if user else Role.VIEWER, address, request_id)
        if user is None:
            await record(self._database, who, "user_logged_in", username, NotAuthenticated.code)
            raise NotAuthenticated(
                "Wrong username or password",
                details="after several failures logins are refused for a while",
                hint="Check both and try again",
            )
        token = self._tokens.issue(user.username, user.role, user.token_generation, self._clock())
        await record(self._database, who, "user_logged_in", username)
        return Login(token, user)

    async def authenticate(self, token: str, *, address: str, request_id: str) -> Principal:
        """The user behind one of our tokens, as the database has it now."""
        claims = self._tokens.verify(token, self._clock())
        user = await self._user_of(claims)
        return Principal(
            user.username,
            Role(user.role),
            address,
            request_id,
            user.must_change_password,
            token_expires_at=claims.expires_at,
        )

    async def _user_of(self, claims: Claims) -> User:
        async with self._database.reading() as session:
            user = await session.get(User, claims.username)
        if user is None:
            raise invalid_token("its user is gone")
        if user.token_generation != claims.generation:
            raise invalid_token("the user's password or role has changed since")
        return user

    async def _attempt(self, username: str, password: SecretStr, address: str) -> User | None:
        try:
            user, locked_out = await self._looked_up(username, address)
        except IntegrityError:  # another server has just counted this pair's first failure: now its row is there
            user, locked_out = await self._looked_up(username, address)
        if locked_out:
            return None
        if not await self._passwords.verify(user.password_hash if user else None, password.get_secret_value()):
            return None
        async with self._database.writing() as session:
            await session.execute(
                delete(LoginFailure).where(LoginFailure.username == username[:64], LoginFailure.address == address)
            )
        return user

    async def _looked_up(self, username: str, address: str) -> tuple[User | None, bool]:
        """The user, if there is one, and whether the pair is locked out."""
        async with self._database.writing() as session:
            locked_out = await self._count_attempt(session, username[:64], address)
            return await session.get(User, username), locked_out

    async def _count_attempt(self, session: AsyncSession, username: str, address: str) -> bool:
        """Whether the pair is locked out; if not, this attempt counts as failed until it has succeeded."""
        now = self._clock()
        over = now - timedelta(seconds=self._lockout.seconds)
        await session.execute(delete(LoginFailure).where(LoginFailure.last_at <= over))
        known = await session.get(LoginFailure, (username, address), with_for_update=True)
        if known is None:
            session.add(LoginFailure(username=username, address=address, failures=1, last_at=now))
            return False
        if self._lockout.holds(known.failures, known.last_at, now):
            return True
        known.failures += 1
        known.last_at = now
        return False
