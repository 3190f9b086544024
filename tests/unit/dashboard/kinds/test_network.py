"""Services, ingresses and network policies out of literals."""

from typing import Any

from ksnap.dashboard.kinds.common import as_record
from ksnap.dashboard.kinds.network.ingresses import BY_SERVICE as INGRESS_BY_SERVICE
from ksnap.dashboard.kinds.network.ingresses import INGRESSES, Ingress, ingress_class_detail, ingress_detail
from ksnap.dashboard.kinds.network.policies import network_policy_detail
from ksnap.dashboard.kinds.network.services import service_detail

META = {"name": "web", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-03-05T10:00:00Z"}
PORTS = [{"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080}]


def _service(**spec: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.7", "ports": PORTS, **spec}}


def test_a_services_row_is_the_beginning_of_its_detail() -> None:
    detail = service_detail(_service(selector={"app": "web"}, sessionAffinity="ClientIP"), ())
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    assert detail == {
        "objectMeta": META,
        "typeMeta": {"kind": "service"},
        "internalEndpoint": {"host": "web.shop", "ports": ports},
        "externalEndpoints": [],
        "selector": {"app": "web"},
        "type": "ClusterIP",
        "clusterIP": "10.0.0.7",
        "endpointList": {"listMeta": {"totalItems": 0}, "endpoints": []},
        "sessionAffinity": "ClientIP",
        "errors": [],
    }


def test_in_the_namespace_default_a_service_needs_no_more_than_its_name() -> None:
    service = {"metadata": {**META, "namespace": "default"}, "spec": {}}
    assert service_detail(service, ())["internalEndpoint"] == {"host": "web", "ports": []}


def test_a_service_that_is_not_understood_has_its_metadata() -> None:
    detail = service_detail(_service(ports="none of ours"), ())
    assert (detail["objectMeta"], detail["type"]) == (META, "")


def test_external_endpoints_are_the_balancers_and_the_external_addresses() -> None:
    status = {"loadBalancer": {"ingress": [{"hostname": "lb.example", "ip": "9.9.9.9"}, {"ip": "1.2.3.4"}]}}
    balanced = {**_service(type="LoadBalancer", externalIPs=["5.6.7.8"]), "status": status}
    hosts = [each["host"] for each in service_detail(balanced, ())["externalEndpoints"]]
    assert hosts == ["lb.example", "1.2.3.4", "5.6.7.8"]
    # What a service was before it became internal does not count.
    internal = {**_service(), "status": status}
    assert service_detail(internal, ())["externalEndpoints"] == []


def test_endpoints_are_those_of_all_slices() -> None:
    slices: list[dict[str, Any]] = [
        {
            "metadata": {"name": "web-1", "namespace": "shop"},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["10.1.0.1", "10.1.0.2"], "nodeName": "n1", "conditions": {"ready": True}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": False}},
                {"addresses": ["10.1.0.4"]},
            ],
        },
        {"metadata": {"name": "web-2"}, "ports": None, "endpoints": None},
    ]
    listed = service_detail(_service(), slices)["endpointList"]
    assert listed["listMeta"] == {"totalItems": 4}
    assert [(each["host"], each["nodeName"], each["ready"]) for each in listed["endpoints"]] == [
        ("10.1.0.1", "n1", True),
        ("10.1.0.2", "n1", True),
        ("10.1.0.3", None, False),
        ("10.1.0.4", None, True),
    ]
    first = listed["endpoints"][0]
    assert first["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert first["typeMeta"] == {"kind": "endpoint"}


INGRESS: dict[str, Any] = {
    "metadata": META,
    "spec": {
        "defaultBackend": {"service": {"name": "fallback", "port": {"number": 80}}},
        "rules": [
            {"host": "a.example", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "web"}}}]}},
            {"host": "b.example"},
            {"host": "a.example", "http": {"paths": [{"backend": {"resource": {"kind": "Bucket", "name": "x"}}}]}},
            {"http": {"paths": [{"backend": {"service": {"name": "web"}}}]}},
        ],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "lb"}]}},
}


def test_an_ingress_shows_each_host_once() -> None:
    detail = ingress_detail(INGRESS)
    assert detail["hosts"] == ["a.example", "b.example"]
    assert detail["endpoints"] == [{"host": "1.2.3.4", "ports": []}, {"host": "lb", "ports": []}]
    assert (detail["spec"], detail["status"]) == (INGRESS["spec"], INGRESS["status"])


def test_an_ingress_is_found_by_all_services_that_it_sends_to() -> None:
    record: Ingress = as_record(INGRESSES.resource, INGRESS)
    assert set(INGRESS_BY_SERVICE.values(record)) == {("shop", "fallback"), ("shop", "web")}


def test_the_parameters_of_an_ingress_class_begin_with_capitals() -> None:
    spec = {
        "controller": "example.com/c",
        "parameters": {"kind": "P", "name": "p", "apiGroup": "g", "scope": "Cluster"},
    }
    detail = ingress_class_detail({"metadata": {"name": "c"}, "spec": spec})
    assert detail["controller"] == "example.com/c"
    assert detail["parameters"] == {"Kind": "P", "Name": "p", "ApiGroup": "g", "Scope": "Cluster"}
    assert ingress_class_detail({"metadata": {"name": "c"}, "spec": {}})["parameters"] == {}


def test_a_network_policy_omits_what_it_does_not_say() -> None:
    policy = {"metadata": META, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    detail = network_policy_detail(policy)
    assert (detail["podSelector"], detail["policyTypes"]) == ({}, ["Ingress"])
    assert "ingress" not in detail
    assert "egress" not in detail
