"""Agents: a service account's token is vouched for by the API server of a registered cluster (TokenReview).

Nothing in the token is believed before that (upstream took any that said `system:serviceaccount`). An answer is
remembered for a short while, so that a report a minute does not cost a review each.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from ksnap.identity.principal import Principal, Role
from ksnap.identity.tokens import invalid_token

# As long as Kubernetes' own webhook token authenticator caches a review, twice over.
REMEMBERED_S = 60.0
REMEMBERED_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class ReviewedAccount:
    """What a TokenReview said of a valid token."""

    username: str
    """`system:serviceaccount:<namespace>:<name>`."""
    node: str = ""
    """`authentication.kubernetes.io/node-name` of its extra fields, where the API server gives it."""


class TokenReviewer(Protocol):
    """Asks a registered cluster about a token; the kube room's connections do this."""

    async def review_token(self, cluster: str, token: str) -> ReviewedAccount | None:
        """The account of a valid token, None for an invalid one; KsnapError if the cluster cannot be asked."""

    async def cluster_names(self) -> list[str]:
        """The registered clusters."""


class Agents:
    """Turns agents' tokens into principals."""

    def __init__(self, reviewer: TokenReviewer, *, namespace: str, service_account: str) -> None:
        self._reviewer = reviewer
        self._username = f"system:serviceaccount:{namespace}:{service_account}"
        self._remembered: OrderedDict[bytes, tuple[float, ReviewedAccount | None]] = OrderedDict()

    async def principal(self, token: str, cluster: str, *, address: str, request_id: str) -> Principal:
        """The agent behind a token of `cluster`: what the header X-Ksnap-Cluster named, else the only one."""
        if not cluster:
            names = await self._reviewer.cluster_names()
            if len(names) != 1:
                raise invalid_token("a service account must name its cluster in the header X-Ksnap-Cluster")
            cluster = names[0]
        account = await self._review(cluster, token)
        if account is None or account.username != self._username:
            raise invalid_token("it is not a token of an agent of this cluster")
        return Principal(
            username=f"agent:{cluster}/{account.node or 'unknown'}",
            role=Role.AGENT,
            address=address,
            request_id=request_id,
            cluster=cluster,
            node=account.node,
        )

    async def _review(self, cluster: str, token: str) -> ReviewedAccount | None:
        key = hashlib.sha256(f"{cluster}\0{token}".encode()).digest()
        known = self._remembered.get(key)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        account = await self._reviewer.review_token(cluster, token)
        self._remembered[key] = (time.monotonic(), account)
        self._remembered.move_to_end(key)
        while len(self._remembered) > REMEMBERED_AT_MOST:
            self._remembered.popitem(last=False)
        return account
