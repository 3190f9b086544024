"""The reference's metrics: which label a request gets, and that strangers make no series."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ksnap.server.dashboard_metrics import CLIENTS, product_of, resource_of
from ksnap.server.metrics import RequestMetrics


@pytest.mark.parametrize(
    ("route", "resource"),
    [
        ("/api/v1/pod", "pod"),
        ("/api/v1/pod/{namespace}/{pod}", "pod"),
        ("/clusters/{cluster}/api/v1/pod/{namespace}", "pod"),
        ("/api/v1/_raw/{kind}/namespace/{namespace}/name/{name}", "_raw"),
        ("/api/v1/log/file/{namespace}/{pod}/{container}", "log"),
        ("/api/v1/{kind}/{namespace}/{name}/horizontalpodautoscaler", "horizontalpodautoscaler"),
        ("/api/v1/{kind}/{namespace}/{deployment}/pause", "pause"),
        ("/settings", "settings"),
        ("/settings/pinnedresources/{kind}/{name}", "settings"),
        ("", "unknown"),
        ("/api/v1/{all}", "unknown"),
    ],
)
def test_the_resource_of_a_route(route: str, resource: str) -> None:
    assert resource_of(route) == resource


@pytest.mark.parametrize(
    ("user_agent", "product"),
    [
        ("", "unknown"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Mozilla"),
        ("kube-probe", "kube-probe"),
        ("(nothing)", "other"),
        ('"', "other"),
    ],
)
def test_the_product_of_a_user_agent(user_agent: str, product: str) -> None:
    assert product_of(user_agent) == product


def observe(metrics: RequestMetrics, **changed: object) -> None:
    request = {
        "method": "GET",
        "route": "/api/v1/pod",
        "status": 200,
        "content_type": "application/json",
        "user_agent": "curl/8",
        "seconds": 0.3,
    }
    metrics.dashboard.observe(**{**request, **changed})  # type: ignore[arg-type] # of the types above


def samples(metrics: RequestMetrics, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(metrics.text().decode())
    found = [each for family in families for each in family.samples]
    # The parser calls every counter NAME_total, whatever stands in the text.
    return [(each.labels, each.value) for each in found if each.name.removesuffix("_total") == name]


def test_names_labels_and_units() -> None:
    metrics = RequestMetrics()
    observe(metrics)
    labels = {"verb": "GET", "resource": "pod"}
    counted = {**labels, "client": "curl", "contentType": "application/json", "code": "200"}
    assert samples(metrics, "apiserver_request_count") == [(counted, 1.0)]
    assert samples(metrics, "apiserver_request_latencies_sum") == [(labels, 300_000.0)]
    buckets = samples(metrics, "apiserver_request_latencies_bucket")
    assert [(float(each["le"]), count) for each, count in buckets] == [
        (125_000, 0),
        (250_000, 0),
        (500_000, 1),
        (1e6, 1),
        (2e6, 1),
        (4e6, 1),
        (8e6, 1),
        (float("inf"), 1),
    ]
    quantiles = samples(metrics, "apiserver_request_latencies_summary")
    assert [each["quantile"] for each, _ in quantiles] == ["0.5", "0.9", "0.99"]
    assert quantiles[0][1] == pytest.approx(300_000, rel=0.02)
    assert samples(metrics, "apiserver_request_latencies_summary_count") == [(labels, 1.0)]
    assert samples(metrics, "dashboard_http_request_duration_seconds_sum") == [(labels, 0.3)]


def test_the_types_are_declared() -> None:
    metrics = RequestMetrics()
    observe(metrics)
    text = metrics.text().decode()
    assert "\napiserver_request_count{" in text
    for name, kind in (
        ("apiserver_request_count", "counter"),
        ("apiserver_request_latencies", "histogram"),
        ("apiserver_request_latencies_summary", "summary"),
    ):
        assert f"# TYPE {name} {kind}\n" in text


def test_strangers_make_no_series() -> None:
    metrics = RequestMetrics()
    for number in range(CLIENTS + 50):
        observe(metrics, user_agent=f"agent{number}/1")
    observe(metrics, method="BREW", route="")
    observe(metrics, status=405, route="/api/v1/pod")
    observe(metrics, user_agent="agent3/2")
    counts = samples(metrics, "apiserver_request_count")
    clients = {each["client"]: count for each, count in counts if each["resource"] == "pod"}
    assert len(clients) == CLIENTS + 1
    assert (clients["other"], clients["agent3"]) == (50, 2)
    unknown = [each["verb"] for each, _ in counts if each["resource"] == "unknown"]
    assert sorted(unknown) == ["GET", "other"]
