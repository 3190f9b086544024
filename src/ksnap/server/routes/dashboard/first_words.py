"""Some hundred routes, found by the first word of their path.

FastAPI tries the routes one after the other, some ten microseconds each, twice. So the dashboard's are put into routers
by the first word behind `/api/v1/`, each of which looks at no request with another word.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

ANY = ""
"""The word of routes that begin with a parameter: they are tried after all others."""
_CLUSTERS = "clusters"
_KEY = "ksnap.first_word"


class OneWord(APIRouter):
    """The routes of one first word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._word != ANY and self._word != first_word(scope):
            return Match.NONE, {}
        return super().matches(scope)


def by_first_word(routers: Iterable[APIRouter]) -> list[APIRouter]:
    """The same routes in routers of one word each."""
    found: dict[str, APIRouter] = {}
    for router in routers:
        for route in router.routes:
            word = _word_of_route(route)
            found.setdefault(word, OneWord(word)).routes.append(route)
    return sorted(found.values(), key=lambda each: each is found.get(ANY))


def first_word(scope: Scope) -> str | None:
    """The word behind /api/v1/ or /clusters/NAME/api/v1/; None elsewhere."""
    if _KEY not in scope:
        parts = str(scope["path"]).split("/", 6)
        if parts[1:2] == [_CLUSTERS]:
            parts = parts[2:]
        scope[_KEY] = parts[3] if parts[1:3] == ["api", "v1"] and len(parts) > 3 else None
    found: str | None = scope[_KEY]
    return found


def _word_of_route(route: BaseRoute) -> str:
    path: Any = getattr(route, "path", "")
    word = str(path).split("/", 2)[1] if "/" in str(path) else ANY
    return ANY if "{" in word else word
