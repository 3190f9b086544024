"""Ingresses and their classes."""

from collections.abc import Collection

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.kinds.network.services import LoadBalancer
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record
from ksnap.kube.watch.resource import Resource

GROUP = "networking.k8s.io"


class BackendService(Part, frozen=True):
    name: str = ""


class Backend(Part, frozen=True):
    service: BackendService = BackendService()
    """Empty where the backend is another resource."""


class Path(Part, frozen=True):
    backend: Backend = Backend()


class Http(Part, frozen=True):
    paths: tuple[Path, ...] = ()


class Rule(Part, frozen=True):
    host: str = ""
    http: Http = Http()


class IngressSpec(Part, frozen=True):
    default_backend: Backend = Backend()
    rules: tuple[Rule, ...] = ()


class IngressStatus(Part, frozen=True):
    load_balancer: LoadBalancer = LoadBalancer()


class Ingress(Record, frozen=True):
    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


def _row(ingress: Ingress, _around: Around) -> Row:
    return {
        "endpoints": [{"host": each.host, "ports": []} for each in ingress.status.load_balancer.ingress],
        "hosts": list(dict.fromkeys(each.host for each in ingress.spec.rules if each.host)),
    }


INGRESSES = Kind(Resource("ingresses", "Ingress", Ingress, group=GROUP), type_name="ingress", row=_row)


def _services(ingress: Ingress) -> set[tuple[str, str]]:
    backends = [ingress.spec.default_backend]
    backends += [path.backend for rule in ingress.spec.rules for path in rule.http.paths]
    return {(ingress.metadata.namespace, each.service.name) for each in backends if each.service.name}


BY_SERVICE: Index[Ingress] = Index("service", _services)
"""By namespace and name of the services that an ingress sends to."""


def of_service(ingresses: View[Ingress], namespace: str, service: str) -> Collection[Ingress]:
    return ingresses.by(BY_SERVICE, (namespace, service))


def ingress_detail(found: Json) -> Row:
    return detail_of(INGRESSES, found, spec=section(found, "spec"), status=section(found, "status"))


class ClassSpec(Part, frozen=True):
    controller: str = ""


class IngressClass(Record, frozen=True):
    spec: ClassSpec = ClassSpec()


def _class_row(each: IngressClass, _around: Around) -> Row:
    return {"controller": each.spec.controller}


INGRESS_CLASSES = Kind(
    Resource("ingressclasses", "IngressClass", IngressClass, group=GROUP, namespaced=False),
    type_name="ingressclass",
    row=_class_row,
)
_PARAMETERS = {"kind": "Kind", "name": "Name", "apiGroup": "ApiGroup", "namespace": "Namespace", "scope": "Scope"}


def ingress_class_detail(found: Json) -> Row:
    """The parameters' names begin with capitals, as in the original."""
    parameters = section(found, "spec").get("parameters") or {}
    shown = {name: parameters[key] for key, name in _PARAMETERS.items() if parameters.get(key)}
    return detail_of(INGRESS_CLASSES, found, parameters=shown)
