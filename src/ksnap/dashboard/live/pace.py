"""How often followers look at their lists: seldom enough that all together leave the server to others. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# A change is shown as soon as those that come with it are there as well: a rollout changes many things within moments.
SETTLE_S = 0.05
LEAST_S = 0.2
# All followers together take at most this part of a core, by looking less often.
PART = 0.25


@dataclass(slots=True)
class Pace:
    """Of one server process."""

    followers: int = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1

    def interval_s(self, spent_s: float) -> float:
        """From one look to the next, for a follower whose last look took so long."""
        return max(LEAST_S, self.followers * spent_s / PART)
