"""Users: made, listed, changed and deleted by administrators; everyone may change their own password, name, email.

The last administrator can be neither deleted nor demoted. A change of password or role ends the user's tokens.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.errors import AlreadyExists, Conflict, InvalidInput, NotFound, NotPermitted
from ksnap.identity.audit import audited
from ksnap.identity.passwords import PasswordRule, Passwords, one_time_password
from ksnap.identity.principal import Principal, Role
from ksnap.store.database import Database
from ksnap.store.tables import User

FIRST_ADMINISTRATOR = "admin"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NewUser:
    username: str
    password: SecretStr
    role: Role
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to change; None or empty leaves it as it is."""

    username: str
    password: SecretStr | None = None
    current_password: SecretStr | None = None
    role: Role | None = None
    name: str | None = None
    email: str | None = None


class Users:
    """The users of one installation."""

    def __init__(
        self, database: Database, passwords: Passwords, rule: PasswordRule, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._rule = rule
        self._clock = clock

    async def create(self, by: Principal, new: NewUser) -> None:
        async with audited(self._database, by, "user_created", new.username):
            self._rule.check(new.password.get_secret_value(), new.username)
            await self._add(new, must_change_password=False)

    async def list(self) -> list[User]:
        """All users by name."""
        async with self._database.reading() as session:
            return list(await session.scalars(select(User).order_by(User.username)))

    async def get(self, username: str) -> User:
        async with self._database.reading() as session:
            return await _existing(session, username)

    async def update(self, by: Principal, change: UserChange) -> None:
        async with audited(self._database, by, "user_updated", change.username):
            _check_right(by, change)
            password = change.password.get_secret_value() if change.password else ""
            hashed = await self._new_hash(by, change, password) if password else None
            async with self._database.writing() as session:
                user = await _existing(session, change.username)
                if change.role is not None and change.role != user.role:
                    await _keep_one_administrator(session, user)
                    user.role = change.role
                    user.token_generation += 1
                if hashed is not None:
                    user.password_hash = hashed
                    user.must_change_password = False
                    user.token_generation += 1
                user.name = user.name if change.name is None else change.name
                user.email = user.email if change.email is None else change.email

    async def delete(self, by: Principal, username: str) -> None:
        async with audited(self._database, by, "user_deleted", username), self._database.writing() as session:
            user = await _existing(session, username)
            await _keep_one_administrator(session, user)
            await session.delete(user)

    async def ensure_first_administrator(self, password: SecretStr | None) -> SecretStr | None:
        """Make `admin` if there is no user at all; without a password, a one-time one is made up and returned."""
        async with self._database.reading() as session:
            if (await session.scalars(select(User.username).limit(1))).first() is not None:
                return None
        made_up = SecretStr(one_time_password()) if password is None else None
        first = NewUser(FIRST_ADMINISTRATOR, password or made_up or SecretStr(""), Role.ADMINISTRATOR)
        self._rule.check(first.password.get_secret_value(), first.username)
        try:
            await self._add(first, must_change_password=made_up is not None)
        except AlreadyExists:
            return None  # another server was a moment faster, and has shown its password
        return made_up

    async def _add(self, new: NewUser, *, must_change_password: bool) -> None:
        user = User(
            username=new.username,
            name=new.name,
            email=new.email,
            role=new.role,
            password_hash=await self._passwords.hash(new.password.get_secret_value()),
            must_change_password=must_change_password,
            # Not from 1: tokens of a deleted user of this name must not fit the new one.
            token_generation=secrets.randbelow(1 << 30),
            created_at=self._clock(),
        )
        try:
            async with self._database.writing() as session:
                session.add(user)
        except IntegrityError as error:
            raise AlreadyExists("The username is taken", details=new.username) from error

    async def _new_hash(self, by: Principal, change: UserChange, password: str) -> str:
        user = await self.get(change.username)
        if by.username == change.username:
            current = change.current_password.get_secret_value() if change.current_password else ""
            if not current:
                raise InvalidInput("The request is not valid", details="current_password: Field required")
            if not await self._passwords.verify(user.password_hash, current):
                raise NotPermitted(
                    "The current password is wrong",
                    details="current_password",
                    hint="Give your current password to set a new one",
                )
            if current == password:
                raise InvalidInput("The password is not accepted", details="password: it is the current one")
        self._rule.check(password, change.username)
        return await self._passwords.hash(password)


def password_change_first(username: str) -> NotPermitted:
    """What one hears who has a one-time password and asks for anything but its change."""
    return NotPermitted(
        "The password must be changed first",
        details=f"{username} still has a one-time password",
        hint="Change it with PUT /config/user/update (ksnap user passwd), then log in again",
    )


def _check_right(by: Principal, change: UserChange) -> None:
    changes_own_password = by.username == change.username and change.password is not None
    if by.must_change_password and not changes_own_password:
        raise password_change_first(by.username)
    if by.role is Role.ADMINISTRATOR:
        return
    if by.username != change.username:
        raise NotPermitted(
            "Only an administrator may change other users", details=change.username, hint="Ask an administrator"
        )
    if change.role is not None:
        raise NotPermitted("Nobody may change their own role", details="role", hint="Ask an administrator")


async def _existing(session: AsyncSession, username: str) -> User:
    user = await session.get(User, username)
    if user is None:
        raise NotFound("User not found", details=f"no user named {username!r}")
    return user


async def _keep_one_administrator(session: AsyncSession, user: User) -> None:
    """Conflict if `user` is the only administrator. The rows are locked, so that two cannot demote each other."""
    administrators = (
        await session.scalars(select(User.username).where(User.role == Role.ADMINISTRATOR).with_for_update())
    ).all()
    if list(administrators) == [user.username]:
        raise Conflict(
            "The last administrator stays",
            details=user.username,
            hint="Make another user administrator first",
        )
