"""Who acts: the roles and the principal that every service call carries. Values only."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never


class Role(StrEnum):
    """The contract's roles. administrator may what operator may, and operator what viewer may; agents stand aside."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AGENT = "agent"

    def may_act_as(self, needed: "Role") -> bool:
        """Whether this role suffices where `needed` is asked for."""
        match self:
            case Role.ADMINISTRATOR:
                return True
            case Role.OPERATOR:
                return needed in {Role.OPERATOR, Role.VIEWER}
            case Role.VIEWER | Role.AGENT:
                return needed is self
        assert_never(self)


ROLE_ALIASES = {"admin": Role.ADMINISTRATOR, "user": Role.OPERATOR}
"""What upstream's page sends; replies use the canonical names."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sent a request, from where. A job keeps the username alone."""

    username: str
    role: Role
    address: str = ""
    """The client's address, for limits and the trail."""
    request_id: str = ""
    must_change_password: bool = False
    cluster: str = ""
    """Agents alone: the cluster whose TokenReview vouched for the token."""
    node: str = ""
    """Agents alone: the node that the token is bound to, where Kubernetes says so."""
    token_expires_at: datetime | None = None
    """Users alone: when the token ends, for what outlives a request."""
