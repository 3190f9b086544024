"""Of a workload as the API server writes it what its list needs."""

from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.strings import Strings


class Container(Part, frozen=True):
    image: str = ""


class PodSpec(Part, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class Template(Part, frozen=True):
    spec: PodSpec = PodSpec()


class Images(Part, frozen=True):
    """The images of a pod template, in its order."""

    containers: tuple[str, ...] = ()
    init_containers: tuple[str, ...] = ()

    @property
    def row(self) -> dict[str, tuple[str, ...]]:
        return {"containerImages": self.containers, "initContainerImages": self.init_containers}


def images_of(template: Template, strings: Strings) -> Images:
    spec = template.spec
    found = Images(tuple(each.image for each in spec.containers), tuple(each.image for each in spec.init_containers))
    return strings.same(found)


class ReplicatedSpec(Part, frozen=True):
    replicas: int | None = None
    template: Template | None = None


class ReplicatedStatus(Part, frozen=True):
    replicas: int = 0


_SPEC, _STATUS = ReplicatedSpec(), ReplicatedStatus()


class Replicated(Record, frozen=True):
    """A Deployment, ReplicaSet, ReplicationController or StatefulSet. `spec` and `status` are empty once it has
    settled; the fields below them are what is left."""

    spec: ReplicatedSpec = _SPEC
    status: ReplicatedStatus = _STATUS
    desired: int | None = None
    current: int = 0
    images: Images = Images()

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        keep(self, "desired", self.spec.replicas)
        keep(self, "current", self.status.replicas)
        keep(self, "images", images_of(self.spec.template or Template(), strings))
        keep(self, "spec", _SPEC)
        keep(self, "status", _STATUS)
