"""What the metrics API and the kubelets answer, as readings. The answers are those of real ones, shortened."""

from ksnap.kube import kubelet_summary, metrics_api

NODES = b"""{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"metadata":
{"name":"node1"},"timestamp":"2026-11-28T00:40:16Z","window":"10.006s",
"usage":{"cpu":"1869465226n","memory":"7459676Ki"}}]}"""
PODS = b"""{"kind":"PodMetricsList","items":[
{"metadata":{"name":"web","namespace":"default"},"containers":[
 {"name":"a","usage":{"cpu":"23163143n","memory":"116840Ki"}},{"name":"b","usage":{"cpu":"1500u","memory":"1Mi"}}]},
{"metadata":{"name":"none","namespace":"default"},"containers":null}]}"""
SUMMARY = b"""{"node":{"nodeName":"node1","cpu":{"usageNanoCores":1234889198},"memory":{"workingSetBytes":4139364352}},
"pods":[
{"podRef":{"name":"sh","namespace":"term"},"cpu":{"usageNanoCores":9000000},"memory":{"workingSetBytes":900},"containers":[
 {"name":"app","cpu":{"usageNanoCores":2000001},"memory":{"workingSetBytes":520192}},
 {"name":"log","cpu":{"usageNanoCores":1000000},"memory":{"workingSetBytes":8}}, {"name":"starts"}]},
{"podRef":{"name":"vm","namespace":"term"},"cpu":{"usageNanoCores":9000000},"memory":{"workingSetBytes":900}}]}"""


def test_containers_are_summed_and_millicores_rounded_up() -> None:
    reading = metrics_api.parse(PODS, NODES)
    assert reading.pods == {("default", "web"): (24 + 2, (116840 << 10) + (1 << 20)), ("default", "none"): (0, 0)}
    assert reading.nodes == {("", "node1"): (1870, 7459676 << 10)}


def test_no_items_are_no_pods() -> None:
    assert metrics_api.parse(b'{"items":null}', b"{}").pods == {}


def test_figures_that_cannot_be_are_cut() -> None:
    odd = b'{"items":[{"metadata":{"name":"n"},"usage":{"cpu":"-5","memory":"9999999Ei"}}]}'
    assert metrics_api.parse(b"{}", odd).nodes == {("", "n"): (0, 1 << 50)}


def test_summaries_have_the_containers_without_the_sandbox() -> None:
    reading = kubelet_summary.parse({"node1": SUMMARY})
    assert reading.pods == {("term", "sh"): (3 + 1, 520200), ("term", "vm"): (9, 900)}
    assert reading.nodes == {("", "node1"): (1235, 4139364352)}
    assert reading.trouble is None


def test_a_summary_that_is_none_hides_no_other_one() -> None:
    reading = kubelet_summary.parse({"bad": b"<html>", "node1": SUMMARY})
    assert list(reading.nodes) == [("", "node1")]
    assert reading.trouble is not None
    assert "node bad" in reading.trouble.details
