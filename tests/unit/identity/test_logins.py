"""Logins over a real SQLite file with a clock of the test's: lockout, forgiveness, tokens that end."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from sqlalchemy import func, select

from ksnap.errors import NotAuthenticated
from ksnap.identity.logins import Lockout, Logins
from ksnap.identity.passwords import PasswordRule, Passwords
from ksnap.identity.principal import Principal, Role
from ksnap.identity.tokens import Tokens
from ksnap.identity.users import NewUser, UserChange, Users
from ksnap.store.database import Database, open_database
from ksnap.store.migrate import migrate
from ksnap.store.tables import AuditEntry, LoginFailure

RIGHT, WRONG = SecretStr("securepassword"), SecretStr("wrong password")
ROOT = Principal("root", Role.ADMINISTRATOR)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Identity:
    """Users and logins that share a database and a clock."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock, passwords = database, Clock(), Passwords()
        self.users = Users(database, passwords, PasswordRule(), self.clock)
        self.logins = Logins(database, passwords, Tokens(KEY, life_s=3600), Lockout(5, 900), self.clock)

    async def log_in(self, password: SecretStr, *, username: str = "ann", address: str = "192.0.2.1") -> str:
        login = await self.logins.login(username, password, address=address, request_id="r")
        return login.token.text

    async def authenticate(self, token: str) -> Principal:
        return await self.logins.authenticate(token, address="192.0.2.1", request_id="r")

    async def fail(self, times: int, *, username: str = "ann", address: str = "192.0.2.1") -> None:
        for _ in range(times):
            with pytest.raises(NotAuthenticated):
                await self.log_in(WRONG, username=username, address=address)


@pytest.fixture
async def identity(tmp_path: Path) -> AsyncIterator[Identity]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'ksnap.db'}"
    await asyncio.to_thread(migrate, url)
    database = open_database(url, timeout_s=10)
    made = Identity(database)
    await made.users.create(ROOT, NewUser("ann", RIGHT, Role.VIEWER))
    yield made
    await database.close()


async def test_a_login_yields_the_users_principal(identity: Identity) -> None:
    principal = await identity.authenticate(await identity.log_in(RIGHT))
    assert principal.token_expires_at is not None
    assert replace(principal, token_expires_at=None) == Principal("ann", Role.VIEWER, "192.0.2.1", "r")


async def test_five_failures_lock_the_pair_out_for_900_seconds(identity: Identity) -> None:
    await identity.fail(5)
    identity.clock.pass_by(899)
    with pytest.raises(NotAuthenticated):
        await identity.log_in(RIGHT)
    assert await identity.log_in(RIGHT, address="192.0.2.2"), "another address is another pair"
    identity.clock.pass_by(1)
    assert await identity.log_in(RIGHT)


async def test_refused_logins_do_not_prolong_the_lockout(identity: Identity) -> None:
    await identity.fail(5)
    identity.clock.pass_by(600)
    await identity.fail(3)
    identity.clock.pass_by(300)
    assert await identity.log_in(RIGHT)


async def test_failures_long_ago_are_forgotten(identity: Identity) -> None:
    await identity.fail(4)
    identity.clock.pass_by(900)
    await identity.fail(4)
    assert await identity.log_in(RIGHT)


async def test_many_guesses_at_once_do_not_slip_past_the_lockout(identity: Identity) -> None:
    guesses = [identity.log_in(WRONG) for _ in range(4)]
    await asyncio.gather(*guesses, return_exceptions=True)
    await identity.fail(1)
    with pytest.raises(NotAuthenticated):
        await identity.log_in(RIGHT)


async def test_unknown_users_are_locked_out_alike_and_forgotten_in_time(identity: Identity) -> None:
    await identity.fail(6, username="nobody")
    identity.clock.pass_by(1000)
    await identity.log_in(RIGHT)
    async with identity.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(LoginFailure)) == 0


async def test_a_token_ends_with_its_time_its_password_its_role_and_its_user(identity: Identity) -> None:
    token = await identity.log_in(RIGHT)
    identity.clock.pass_by(3600)
    with pytest.raises(NotAuthenticated):
        await identity.authenticate(token)
    for change in (UserChange("ann", password=RIGHT), UserChange("ann", role=Role.OPERATOR)):
        token = await identity.log_in(RIGHT)
        await identity.users.update(ROOT, change)
        with pytest.raises(NotAuthenticated):
            await identity.authenticate(token)
    token = await identity.log_in(RIGHT)
    await identity.users.delete(ROOT, "ann")
    with pytest.raises(NotAuthenticated):
        await identity.authenticate(token)


async def test_a_user_made_anew_does_not_inherit_tokens(identity: Identity) -> None:
    token = await identity.log_in(RIGHT)
    await identity.users.delete(ROOT, "ann")
    identity.clock.pass_by(1)
    await identity.users.create(ROOT, NewUser("ann", RIGHT, Role.ADMINISTRATOR))
    with pytest.raises(NotAuthenticated):
        await identity.authenticate(token)


async def test_each_login_leaves_a_line(identity: Identity) -> None:
    await identity.log_in(RIGHT)
    await identity.fail(1)
    async with identity.database.reading() as session:
        entries = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    logins = [
        (each.username, each.target, each.outcome, each.address) for each in entries if each.action == "user_logged_in"
    ]
    assert logins == [("ann", "ann", "ok", "192.0.2.1"), ("ann", "ann", "AUTHENTICATION_FAILED", "192.0.2.1")]


async def test_unknown_user_and_wrong_password_take_the_same_effort(identity: Identity) -> None:
    async def seconds(username: str) -> float:
        started = time.thread_time() + time.process_time()
        with pytest.raises(NotAuthenticated):
            await identity.log_in(WRONG, username=username, address="192.0.2.9")
        return time.thread_time() + time.process_time() - started

    await seconds("warm-up")
    known, unknown = await seconds("ann"), await seconds("nobody")
    assert 1 / 3 < known / unknown < 3
