"""What pods and nodes use, out of the metrics that Prometheus scrapes from kubelets.

`container_cpu_usage_seconds_total` and `container_memory_working_set_bytes` come from a kubelet's `/metrics/cadvisor`
and `/metrics/resource` alike; the former has sums beside the containers, under an empty container name. A node is its
root cgroup (`id="/"`) there, `node_cpu_usage_seconds_total` and `node_memory_working_set_bytes` here, and it is named
by the label `node`, or by `instance` where Kubernetes' discovery of nodes sets it.
"""

import asyncio
import math

from ksnap.model.usage import Amounts, Name, Reading, amounts
from ksnap.prometheus.client import Prometheus, Series

CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
NODE_CPU, NODE_MEMORY = "node_cpu_usage_seconds_total", "node_memory_working_set_bytes"
# The last two samples within so long: whatever the scrape's interval, it is the newest rate there is.
RANGE = "5m"
_CONTAINERS = 'container!="",container!="POD"'
_ROOT = 'id="/"'


async def check(prometheus: Prometheus) -> None:
    """Whether it answers."""
    await prometheus.query("vector(1)")


async def read(prometheus: Prometheus, matchers: str = "") -> Reading:
    """The use of all pods and nodes. `matchers` are further label matchers, such as `cluster="a"`."""
    cpu, memory, node_cpu, node_memory = await asyncio.gather(*map(prometheus.query, expressions(matchers)))
    return await asyncio.to_thread(parse, cpu, memory, node_cpu, node_memory)


def expressions(matchers: str = "") -> tuple[str, str, str, str]:
    """Cores and bytes of pods, then of nodes."""

    def of(metric: str, more: str = "") -> str:
        return f"{metric}{{{','.join(each for each in (more, matchers) if each)}}}"

    return (
        f"sum by (namespace, pod) (irate({of(CPU, _CONTAINERS)}[{RANGE}]))",
        f"sum by (namespace, pod) ({of(MEMORY, _CONTAINERS)})",
        f"sum by (node, instance) (irate({of(NODE_CPU)}[{RANGE}]) or irate({of(CPU, _ROOT)}[{RANGE}]))",
        f"sum by (node, instance) ({of(NODE_MEMORY)} or {of(MEMORY, _ROOT)})",
    )


def parse(
    cpu: tuple[Series, ...],
    memory: tuple[Series, ...],
    node_cpu: tuple[Series, ...],
    node_memory: tuple[Series, ...],
) -> Reading:
    """Four vectors as a reading."""
    return Reading(_joined(cpu, memory), _joined(node_cpu, node_memory))


def _joined(cpu: tuple[Series, ...], memory: tuple[Series, ...]) -> dict[Name, Amounts]:
    """What has only one of the two is too young, or gone: it is left out."""
    cores = {_name(each): _number(each) for each in cpu}
    found: dict[Name, Amounts] = {}
    for each in memory:
        name = _name(each)
        if name[1] and name in cores:
            found[name] = amounts(math.ceil(cores[name] * 1000), math.ceil(_number(each)))
    return found


def _name(series: Series) -> Name:
    labels = series.metric
    if "pod" in labels:
        return labels.get("namespace", ""), labels["pod"]
    return "", labels.get("node") or labels.get("instance", "")


def _number(series: Series) -> float:
    number = float(series.value[1])
    return number if math.isfinite(number) and number > 0 else 0.0
