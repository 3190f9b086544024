"""Of a pod as the API server writes it what its list needs."""

from ksnap.kube.watch.records import Part


class Resources(Part, frozen=True):
    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None


class Container(Part, frozen=True):
    name: str = ""
    image: str = ""
    restart_policy: str = ""
    resources: Resources = Resources()

    @property
    def is_sidecar(self) -> bool:
        """For an init container: whether it keeps running beside the others (KEP-753)."""
        return self.restart_policy == "Always"


class Waiting(Part, frozen=True):
    reason: str = ""


class Running(Part, frozen=True):
    pass


class Terminated(Part, frozen=True):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""


class State(Part, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Part, frozen=True):
    name: str = ""
    state: State = State()
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0


class Condition(Part, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""


class PodSpec(Part, frozen=True):
    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, str] | None = None
    resources: Resources = Resources()
    """Of the pod as a whole (KEP-2837); they win over the sum of its containers'."""


class PodStatus(Part, frozen=True):
    phase: str = ""
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def condition(self, name: str) -> str:
        """The status of a condition; empty where there is none of that type."""
        return next((each.status for each in self.conditions if each.type == name), "")
