"""How many connections that stay open are there: in all, and of each user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ksnap.errors import RateLimited, Unavailable


class OpenConnections:
    """Counts one kind of them in one server process."""

    def __init__(self, limit: int, limit_user: int) -> None:
        self._limit = limit
        self._limit_user = limit_user
        self._of: Counter[str] = Counter()

    @contextmanager
    def one_of(self, username: str, *, shown: str = "") -> Iterator[None]:
        """One more while the block lasts; RateLimited or Unavailable if that is too many.

        `shown` stands for a name that is a key."""
        if self._of[username] >= self._limit_user:
            raise RateLimited(
                "Too many open connections",
                details=f"{self._limit_user} of {shown or username} are open",
                hint="Close one of them",
            )
        if self._of.total() >= self._limit:
            raise Unavailable("Too many open connections", details=f"{self._limit} are open", hint="Try again later")
        self._of[username] += 1
        try:
            yield
        finally:
            self._of[username] -= 1
            self._of += Counter()  # forgets those who have none
