"""What a watcher is told: where it looks, when it freezes, what it does besides. Values only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ksnap.errors import InvalidInput
from ksnap.store.tables import Watcher
from ksnap.watchers.triggers import is_schedule


class Scope(StrEnum):
    CLUSTER = "cluster"
    NAMESPACE = "namespace"


class Trigger(StrEnum):
    """When a pod's containers are frozen. Each waits until the pod is Ready and the container has started."""

    STARTUP_PROBE = "startupProbe"
    """Once the container has started, which its startup probe says if it has one."""
    READY = "ready"
    """Once the pod is Ready: the same moment, by the name that people look for."""
    ANNOTATION = "annotation"
    """Whenever the pod's annotation ksnap.dev/freeze-now has a value that it had not before."""
    SCHEDULE = "schedule"
    """At the times of a cron expression, in UTC."""
    DRAIN = "drain"
    """When the pod's node is cordoned, so that what it did is not lost with it."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Requests to the pod before it is frozen, through the API server: so that what is loaded lazily is in memory."""

    path: str = "/"
    port: int = 80
    requests: int = 1
    timeout_s: float = 10.0
    """For each request."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is ours beside the contract's fields."""

    selector: Mapping[str, str]
    """Labels that a pod must have, besides the one that opts in."""
    containers: tuple[str, ...] = ()
    """Instead of what the pod's annotation says."""
    settle_s: float = 0.0
    """How long the pod must have been Ready."""
    schedule: str = ""
    warm_up: WarmUp | None = None

    def stored(self) -> dict[str, Any]:
        return asdict(self) | {"selector": dict(self.selector), "containers": list(self.containers)}


NO_OPTIONS = Options({})


@dataclass(frozen=True, slots=True)
class Definition:
    """One watcher, as it is told."""

    name: str
    cluster: str
    scope: Scope = Scope.CLUSTER
    namespace: str = ""
    trigger: Trigger = Trigger.STARTUP_PROBE
    auto_delete_pod: bool = True
    options: Options = NO_OPTIONS

    def check(self) -> None:
        """InvalidInput where parts do not fit each other."""
        if self.scope is Scope.NAMESPACE and not self.namespace:
            raise InvalidInput("The request is not valid", details="namespace: Field required for scope namespace")
        if self.trigger is Trigger.SCHEDULE and not is_schedule(self.options.schedule):
            raise InvalidInput(
                "The request is not valid",
                details=f"schedule: {self.options.schedule[:100]!r} is no cron expression of five fields",
                hint="Such as '0 3 * * *': every night at three, UTC",
            )

    @property
    def started_by(self) -> str:
        """As jobs name who began them."""
        return f"watcher:{self.name}"

    @property
    def only_namespace(self) -> str:
        """The one namespace that it looks at; empty: all."""
        return self.namespace if self.scope is Scope.NAMESPACE else ""


def options_of(stored: Mapping[str, Any]) -> Options:
    warm_up = stored.get("warm_up")
    return Options(
        selector=dict(stored.get("selector") or {}),
        containers=tuple(stored.get("containers") or ()),
        settle_s=float(stored.get("settle_s") or 0.0),
        schedule=str(stored.get("schedule") or ""),
        warm_up=WarmUp(**warm_up) if warm_up else None,
    )


def definition_of(row: Watcher) -> Definition:
    return Definition(
        name=row.name,
        cluster=row.cluster_name,
        scope=Scope(row.scope),
        namespace=row.namespace,
        trigger=Trigger(row.trigger),
        auto_delete_pod=row.auto_delete_pod,
        options=options_of(row.options),
    )
