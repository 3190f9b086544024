"""The trail of what is changed through the dashboard: who, what, of which object, how it went; never any content.

For logins of ksnap alone. Who brings a Kubernetes token is known to the cluster, whose own audit log has the change.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.identity.audit import audited
from ksnap.identity.principal import Principal
from ksnap.server.services import services_of
from ksnap.store.database import Database


@dataclass(frozen=True, slots=True)
class Trail:
    """Of one request."""

    _database: Database
    principal: Principal | None
    """None with a Kubernetes token."""

    @asynccontextmanager
    async def line(self, at: ClusterAsCaller, action: str, target: str) -> AsyncIterator[None]:
        """Do the block and leave a line about how it went."""
        if self.principal is None:
            yield
            return
        async with audited(self._database, self.principal, action, f"{target} in cluster {at.cluster}"):
            yield


def _trail_of(request: Request) -> Trail:
    principal = request.scope["state"].get("principal")
    return Trail(services_of(request).database, principal if isinstance(principal, Principal) else None)


InTrail = Annotated[Trail, Depends(_trail_of)]
