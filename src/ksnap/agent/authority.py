"""Who may call this agent: authentication by TokenReview, authorization by SubjectAccessReview (decision 3).

A token must have been made for the audience `ksnap-agent`, so that no token of another purpose opens an agent, and a
token for an agent nothing else. Both answers are remembered for some seconds by the token's hash, never the token.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from ksnap.agent.api_server import ApiServer
from ksnap.errors import NotAuthenticated, NotPermitted
from ksnap.node.protocol import AUDIENCE, AUTHORIZATION_GROUP, AUTHORIZATION_RESOURCE

log = structlog.get_logger()

VERBS = {"GET": "get", "HEAD": "get", "PUT": "create", "POST": "create", "DELETE": "delete"}
# A bound, so that a flood of random tokens costs no memory.
_CACHE_LIMIT = 256
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom the API server knows by the token."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, Any]


class _Remembered(Generic[T]):
    """Answers that are forgotten after some seconds, and when there are too many."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._answers: dict[tuple[str, ...], tuple[float, T]] = {}

    def get(self, key: tuple[str, ...]) -> T | None:
        found = self._answers.get(key)
        return found[1] if found is not None and found[0] > self._now() else None

    def put(self, key: tuple[str, ...], answer: T) -> None:
        if len(self._answers) >= _CACHE_LIMIT:
            self._answers.clear()
        self._answers[key] = (self._now() + self._seconds, answer)


class Authority:
    """Decides on each request. `now` is a monotonic clock."""

    def __init__(self, api_server: ApiServer, node_name: str, *, remember_s: float, now: Callable[[], float]) -> None:
        self._api_server = api_server
        self._node_name = node_name
        self._callers: _Remembered[Caller | NotAuthenticated] = _Remembered(remember_s, now)
        self._rights: _Remembered[bool] = _Remembered(remember_s, now)

    async def admit(self, header: str | None, method: str) -> Caller:
        """The caller, or NotAuthenticated, or NotPermitted."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("The agent needs a token", hint=f"Send a token made for the audience {AUDIENCE}")
        key = hashlib.sha256(token.strip().encode()).hexdigest()
        caller = await self._caller(key, token.strip())
        verb = VERBS.get(method, "create")
        if not await self._may(key, caller, verb):
            log.warning("caller_refused", caller=caller.name, verb=verb)
            raise NotPermitted(
                "The caller may not use this node's agent",
                details=f"{caller.name}: {verb} {AUTHORIZATION_RESOURCE}.{AUTHORIZATION_GROUP}/{self._node_name}",
                hint="Bind the chart's server ClusterRole to it",
            )
        return caller

    async def _caller(self, key: str, token: str) -> Caller:
        found = self._callers.get((key,))
        if found is None:
            found = await self._review_token(token)
            self._callers.put((key,), found)
        if isinstance(found, NotAuthenticated):
            raise NotAuthenticated(found.message, details=found.details, hint=found.hint)
        return found

    async def _review_token(self, token: str) -> Caller | NotAuthenticated:
        answer = await self._api_server.post(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [AUDIENCE]},
            },
        )
        status = answer.get("status", {})
        # An API server that does not know audiences answers "authenticated" without any: that is not for us.
        if not status.get("authenticated") or AUDIENCE not in status.get("audiences", []):
            return NotAuthenticated(
                "The agent does not accept the token", hint=f"Send a valid token made for the audience {AUDIENCE}"
            )
        user = status.get("user", {})
        return Caller(
            name=str(user.get("username", "")),
            uid=str(user.get("uid", "")),
            groups=tuple(user.get("groups", [])),
            extra=user.get("extra", {}),
        )

    async def _may(self, key: str, caller: Caller, verb: str) -> bool:
        found = self._rights.get((key, verb))
        if found is None:
            found = await self._review_access(caller, verb)
            self._rights.put((key, verb), found)
        return found

    async def _review_access(self, caller: Caller, verb: str) -> bool:
        answer = await self._api_server.post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": caller.name,
                    "uid": caller.uid,
                    "groups": list(caller.groups),
                    "extra": dict(caller.extra),
                    "resourceAttributes": {
                        "group": AUTHORIZATION_GROUP,
                        "resource": AUTHORIZATION_RESOURCE,
                        "verb": verb,
                        "name": self._node_name,
                    },
                },
            },
        )
        return answer.get("status", {}).get("allowed") is True
