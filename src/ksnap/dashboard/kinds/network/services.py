"""Services: the list, the detail with its endpoints, and whose pods a service sends to (contract, section 15)."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from ksnap.dashboard.kinds.common import Json, section, selects_labels
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.kinds.pods import Pod
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row, object_meta, type_meta
from ksnap.dashboard.selection.views import BY_NAMESPACE, Around, View
from ksnap.kube.watch.records import Metadata, Part, Record
from ksnap.kube.watch.resource import Resource

SLICES = Resource("endpointslices", "EndpointSlice", Record, group="discovery.k8s.io")
SLICES_OF = "kubernetes.io/service-name={}"
"""The label selector of a service's slices."""


class Port(Part, frozen=True):
    port: int = 0
    protocol: str = "TCP"
    node_port: int = 0


class ServiceSpec(Part, frozen=True):
    type: str = ""
    ports: tuple[Port, ...] = ()
    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")


class Address(Part, frozen=True):
    """Where a load balancer is reached."""

    hostname: str = ""
    ip: str = ""

    @property
    def host(self) -> str:
        return self.hostname or self.ip


class LoadBalancer(Part, frozen=True):
    ingress: tuple[Address, ...] = ()


class ServiceStatus(Part, frozen=True):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(Record, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


def _row(service: Service, _around: Around) -> Row:
    spec = service.spec
    return {
        "internalEndpoint": {"host": _internal_host(service.metadata), "ports": _ports(spec.ports)},
        "externalEndpoints": [{"host": host, "ports": _ports(spec.ports)} for host in _external_hosts(service)],
        "selector": spec.selector or {},
        "type": spec.type,
        "clusterIP": spec.cluster_ip,
    }


def _internal_host(metadata: Metadata) -> str:
    return metadata.name if metadata.namespace == "default" else f"{metadata.name}.{metadata.namespace}"


def _external_hosts(service: Service) -> list[str]:
    balanced = service.status.load_balancer.ingress if service.spec.type == "LoadBalancer" else ()
    return [*(each.host for each in balanced), *service.spec.external_ips]


def _ports(ports: Sequence[Port]) -> list[Row]:
    return [{"port": each.port, "protocol": each.protocol, "nodePort": each.node_port} for each in ports]


SERVICES = Kind(
    Resource("services", "Service", Service),
    type_name="service",
    row=_row,
    items="services",
    properties=(text("type", lambda service: service.spec.type),),
)


def service_detail(found: Json, slices: Iterable[Json]) -> Row:
    """`slices` are the service's EndpointSlices (the original reads Endpoints, which Kubernetes 1.33 gave up)."""
    endpoints = [each for piece in slices for each in _endpoints(piece)]
    return detail_of(
        SERVICES,
        found,
        endpointList={"listMeta": {"totalItems": len(endpoints)}, "endpoints": endpoints},
        sessionAffinity=section(found, "spec").get("sessionAffinity", ""),
    )


def _endpoints(piece: Json) -> list[Row]:
    """One for each address of a slice. Ready by default: so says the API for those who do not know."""
    meta = object_meta(msgspec.convert(piece.get("metadata") or {}, Metadata))
    return [
        {
            "objectMeta": meta,
            "typeMeta": type_meta("endpoint"),
            "host": host,
            "nodeName": each.get("nodeName"),
            "ready": (each.get("conditions") or {}).get("ready") is not False,
            "ports": piece.get("ports") or [],
        }
        for each in piece.get("endpoints") or ()
        for host in each.get("addresses") or ()
    ]


def selected(pods: View[Pod], namespace: str, selector: Mapping[str, str] | None) -> Collection[Pod]:
    """The pods that a service sends to. Without a selector it sends to none that we could know."""
    if not selector or not pods.sees(namespace):
        return []
    among = pods.by(BY_NAMESPACE, namespace)
    return [each for each in among if selects_labels(selector, each.metadata.labels)]
