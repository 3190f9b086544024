"""Equal texts, label sets and tuples kept once: ten thousand pods have few namespaces, nodes, owners and images."""

from collections.abc import Hashable
from typing import Any, TypeVar

# What is not shared after this many is not worth sharing; the pool begins anew.
LIMIT = 4096
H = TypeVar("H", bound=Hashable)


class Strings:
    """One cache's pool. Forgetting it costs memory, nothing else."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._texts: dict[str, str] = {}
        self._dicts: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._others: dict[Hashable, Any] = {}

    def shared(self, text: str) -> str:
        """The text, as one object for all that are equal."""
        found: str = _one(self._texts, text, text, self._limit)
        return found

    def shared_dict(self, given: dict[str, str]) -> dict[str, str]:
        """The labels, as one object for all that are equal. Nobody may change it."""
        if not given:
            return given
        found: dict[str, str] = _one(self._dicts, tuple(given.items()), given, self._limit)
        return found

    def same(self, value: H) -> H:
        """Any hashable value (a tuple of parts, say), as one object for all that are equal."""
        return _one(self._others, value, value, self._limit) if value else value


def _one(pool: dict[Any, Any], key: Any, value: Any, limit: int) -> Any:
    if len(pool) >= limit:
        pool.clear()
    return pool.setdefault(key, value)
