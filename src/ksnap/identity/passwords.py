"""Passwords: argon2id hashes and the rule for new ones.

A hash takes tens of milliseconds and 19 MiB (OWASP's password storage cheat sheet, argon2id), so it runs in a thread
and few at a time: logins wait for each other before they fill the memory. RFC 9106's 64 MiB would be half of what a
whole server may take.
"""

import asyncio
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from ksnap.errors import InvalidInput

AT_ONCE = 2
TIME_COST = 2
MEMORY_COST_KIB = 19 * 1024
PARALLELISM = 1
# Argon2 hashes any length, yet a megabyte costs time: longer than any passphrase is refused.
MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class PasswordRule:
    """What a new password must be (contract, section 3.4)."""

    min_length: int = 8
    needs_classes: bool = False

    def check(self, password: str, username: str) -> None:
        """InvalidInput that names the reason and never the password."""
        if len(password) < self.min_length:
            raise _refused(f"password: it has fewer than {self.min_length} characters")
        if len(password) > MAX_LENGTH:
            raise _refused(f"password: it has more than {MAX_LENGTH} characters")
        if password.casefold() == username.casefold():
            raise _refused("password: it is the username")
        if self.needs_classes and not _has_all_classes(password):
            raise _refused(
                "password: it needs an upper-case letter, a lower-case letter, a digit and another character"
            )


class Passwords:
    """Hashes and verifies, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_COST_KIB, parallelism=PARALLELISM)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._decoy = ""

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password fits. Without a hash (no such user) it takes as long and says no."""
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe())
        async with self._turns:
            fits = await asyncio.to_thread(self._verify, hashed or self._decoy, password[: MAX_LENGTH + 1])
        return fits and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False


def one_time_password() -> str:
    """A random password for the first login: 120 bits, easy to copy."""
    return "-".join(secrets.token_hex(3) for _ in range(5))


def _has_all_classes(password: str) -> bool:
    tests = (str.isupper, str.islower, str.isdigit, lambda c: not c.isalnum())
    return all(any(test(character) for character in password) for test in tests)


def _refused(why: str) -> InvalidInput:
    return InvalidInput("The password is not accepted", details=why, hint="Choose another one")
