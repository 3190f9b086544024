"""Who is who, and may what: a token of ours that an agent accepts (TokenRequest), whose a given one is (TokenReview),
and whether our own account has a right (SelfSubjectAccessReview)."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from pydantic import SecretStr

from ksnap.errors import ClusterConnectionFailed, NotAuthenticated
from ksnap.kube.connection import ClusterConnection

# The API server grants ten minutes at least; an hour bounds the use of a stolen one.
LIFE = timedelta(hours=1)
# A token is renewed so long before its end: longer than any difference of clocks that Kubernetes itself bears.
MARGIN = timedelta(minutes=10)
NODE_NAME_CLAIM = "authentication.kubernetes.io/node-name"


class ServiceAccountTokens:
    """Short-lived tokens of one account for one audience, each used until shortly before its end."""

    def __init__(self, connection: ClusterConnection, *, namespace: str, account: str, audience: str) -> None:
        self._connection = connection
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(account, safe='')}/token"
        self._what = f"serviceaccount {namespace}/{account}"
        self._audience = audience
        self._token = SecretStr("")
        self._renew_at = datetime.min.replace(tzinfo=UTC)
        self._lock = asyncio.Lock()

    async def token(self) -> SecretStr:
        """A token that is valid for a while yet."""
        async with self._lock:
            if datetime.now(UTC) >= self._renew_at:
                await self._renew()
            return self._token

    def refused(self) -> None:
        """The present token was refused: the next call asks for a new one."""
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    async def _renew(self) -> None:
        spec = {"audiences": [self._audience], "expirationSeconds": int(LIFE.total_seconds())}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        status = (await self._connection.post(self._path, body, what=self._what))["status"]
        self._token = SecretStr(status["token"])
        self._renew_at = datetime.fromisoformat(status["expirationTimestamp"]) - MARGIN


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Whose a token is, as its own cluster says."""

    username: str
    """system:serviceaccount:<namespace>:<name>"""
    node_name: str
    """The node of the pod that the token was made for; empty where the cluster does not tell."""


async def review_token(connection: ClusterConnection, token: SecretStr, audience: str) -> TokenOwner:
    """The owner of a token made for this audience, or NotAuthenticated."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token.get_secret_value(), "audiences": [audience]},
    }
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = (await connection.post(path, body, what="token review")).get("status") or {}
    if not status.get("authenticated") or audience not in (status.get("audiences") or []):
        raise NotAuthenticated("The token is not valid in its cluster", details=f"cluster {connection.name}")
    user = status.get("user") or {}
    node = (user.get("extra") or {}).get(NODE_NAME_CLAIM) or [""]
    return TokenOwner(str(user.get("username", "")), str(node[0]))


async def may(
    connection: ClusterConnection,
    verb: str,
    resource: str,
    *,
    subresource: str = "",
    group: str = "",
    namespace: str = "",
    name: str = "",
) -> bool:
    """Whether our account may do this; without a namespace in all, without a name to all. Everyone may ask that."""
    given = {"subresource": subresource, "namespace": namespace, "name": name}
    attributes = {"verb": verb, "resource": resource, "group": group}
    attributes |= {field: value for field, value in given.items() if value}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await connection.post(path, body, what="access review")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise ClusterConnectionFailed("The API server answers strangely", details=f"cluster {connection.name}")
    return bool(status.get("allowed"))
