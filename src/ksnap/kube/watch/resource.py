"""What can be watched: a resource of the API, and the record its objects are decoded into."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from urllib.parse import quote

from ksnap.kube.watch.records import Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Resource(Generic[R]):
    """A resource, by its plural. Equal ones share a cache."""

    plural: str
    kind: str
    record: type[R]
    group: str = ""
    """Empty: the core group."""
    version: str = "v1"
    namespaced: bool = True
    form: Literal["object", "metadata", "table"] = "object"
    """`metadata`: the API server is asked for PartialObjectMetadata alone, so that data which may be large or secret
    never comes here. `table`: beside it for the columns of `kubectl get`; a field of the record named as a column has
    its value (`type` of a Secret). `kubectl apply`'s copy of the object is dropped from the annotations of both."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of one object, or of all (in a namespace)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        end = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{middle}/{self.plural}{end}"

    def accept(self, *, watch: bool) -> str:
        """The header Accept (Kubernetes' API concepts, "Resource representations")."""
        if self.form == "object":
            return "application/json"
        what = "Table" if self.form == "table" else "PartialObjectMetadata" + ("" if watch else "List")
        return f"application/json;as={what};g=meta.k8s.io;v=v1"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural
