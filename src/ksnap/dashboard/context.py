"""Somebody at one cluster: what every call of the dashboard is given.

Single objects and all writes go to the API server as the caller (`api`), so that Kubernetes' RBAC and its audit log
hold; lists come from memory, filled by ksnap's own account (`own`), after `reviews` said what the caller may list.
"""

from dataclasses import dataclass

from ksnap.dashboard.discovery import ClusterKinds
from ksnap.dashboard.reviews import Reviews
from ksnap.kube.caller import Caller
from ksnap.kube.connection import ClusterConnection


@dataclass(frozen=True, slots=True)
class ClusterAsCaller:
    """One cluster as one caller sees it, for the length of a request or of a connection."""

    cluster: str
    """Its configured name."""
    caller: Caller
    api: ClusterConnection
    """As the caller."""
    own: ClusterConnection
    """As ksnap itself: for the watch cache alone."""
    reviews: Reviews
    kinds: ClusterKinds
    """Which kinds the cluster has."""
