"""The kubelets' own summaries (`/stats/summary`, kubelet's stats/v1alpha1), asked through the API server's node proxy.

For clusters without a metrics API. It needs the right `get nodes/proxy`, which opens all that kubelets offer: the
chart grants it only on request.
"""

import asyncio
import random
from collections.abc import Sequence
from urllib.parse import quote

import aiohttp
import msgspec

from ksnap.errors import KsnapError
from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.failures import ClusterUnreachable
from ksnap.kube.metrics_api import NANO
from ksnap.model.usage import Amounts, Name, Reading, amounts

# Kubelets at once: each answers in some milliseconds, and the API server has others to serve.
AT_ONCE = 10
# Of one kubelet; a node that is gone must not make the minute's look late.
TIMEOUT_S = 8.0
NAMES_ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = "500"
# One node may be down, and another one just going.
_TRIED = 3


class _Named(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    namespace: str = ""


class _Cpu(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    usage_nano_cores: int = 0


class _Memory(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    working_set_bytes: int = 0


class _Used(msgspec.Struct, frozen=True, gc=False):
    cpu: _Cpu | None = None
    memory: _Memory | None = None

    @property
    def amounts(self) -> Amounts:
        cpu = -(-self.cpu.usage_nano_cores // NANO) if self.cpu is not None else 0
        return amounts(cpu, self.memory.working_set_bytes if self.memory is not None else 0)


class _Pod(_Used, frozen=True, gc=False, rename="camel"):
    pod_ref: _Named = _Named()
    containers: tuple[_Used, ...] | None = ()


class _Summary(msgspec.Struct, frozen=True, gc=False):
    node: _Used = _Used()
    pods: tuple[_Pod, ...] | None = ()


class _Item(msgspec.Struct, frozen=True, gc=False):
    metadata: _Named = _Named()


class _Continue(msgspec.Struct, frozen=True, gc=False):
    continue_: str = msgspec.field(default="", name="continue")


class _Items(msgspec.Struct, frozen=True, gc=False):
    metadata: _Continue = _Continue()
    items: tuple[_Item, ...] | None = ()


async def check(connection: ClusterConnection) -> None:
    """Whether one of three kubelets answers, or the last one's error."""
    names = await _node_names(connection)
    if not names:
        raise ClusterUnreachable("The cluster has no nodes", details=f"cluster {connection.name}")
    *others, last = random.sample(names, min(_TRIED, len(names)))
    for name in others:
        try:
            await _summary(connection, name)
        except ClusterUnreachable:
            continue
        return
    await _summary(connection, last)


async def read(connection: ClusterConnection) -> Reading:
    """The use of all nodes and of their pods. A kubelet that does not answer is named in the reading's trouble."""
    names = await _node_names(connection)
    places = asyncio.Semaphore(AT_ONCE)

    async def ask(name: str) -> bytes | KsnapError:
        async with places:
            try:
                return await _summary(connection, name)
            except KsnapError as error:
                return error

    answers = await asyncio.gather(*(ask(each) for each in names))
    failures = [each for each in answers if isinstance(each, KsnapError)]
    if failures and len(failures) == len(names):
        raise failures[0]
    silent = [name for name, each in zip(names, answers, strict=True) if isinstance(each, KsnapError)]
    summaries = {name: each for name, each in zip(names, answers, strict=True) if isinstance(each, bytes)}
    return await asyncio.to_thread(parse, summaries, _trouble(connection, silent))


def parse(summaries: dict[str, bytes], trouble: KsnapError | None = None) -> Reading:
    """Summaries by their nodes' names as a reading. One that is not understood is left out."""
    pods: dict[Name, Amounts] = {}
    nodes: dict[Name, Amounts] = {}
    decoder = msgspec.json.Decoder(_Summary)
    for name, content in summaries.items():
        try:
            summary = decoder.decode(content)
        except msgspec.DecodeError as error:
            trouble = trouble or ClusterUnreachable(
                "A kubelet's summary is not understood", details=f"node {name}: {error}"
            )
            continue
        nodes["", name] = summary.node.amounts
        for pod in summary.pods or ():
            pods[pod.pod_ref.namespace, pod.pod_ref.name] = _of_containers(pod)
    return Reading(pods, nodes, trouble)


def _of_containers(pod: _Pod) -> Amounts:
    """The sum over the containers, as the metrics API has it: without what the sandbox itself uses."""
    if not pod.containers:
        return pod.amounts
    uses = [each.amounts for each in pod.containers]
    return amounts(sum(cpu for cpu, _ in uses), sum(memory for _, memory in uses))


def _trouble(connection: ClusterConnection, silent: Sequence[str]) -> KsnapError | None:
    if not silent:
        return None
    shown = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
    return ClusterUnreachable(
        "Metrics of some nodes and their pods are missing", details=f"no answer from the kubelets of {shown}"
    )


async def _node_names(connection: ClusterConnection) -> list[str]:
    names: list[str] = []
    params = {"limit": _PAGE}
    while True:
        content = await _get(connection, "/api/v1/nodes", params, "nodes", accept=NAMES_ACCEPT)
        try:
            page = msgspec.json.decode(content, type=_Items)
        except msgspec.DecodeError as error:
            raise ClusterUnreachable(
                "The list of nodes is not understood", details=f"cluster {connection.name}: {error}"
            ) from error
        names += [each.metadata.name for each in page.items or ()]
        if not page.metadata.continue_:
            return names
        params["continue"] = page.metadata.continue_


async def _summary(connection: ClusterConnection, node: str) -> bytes:
    path = f"/api/v1/nodes/{quote(node, safe='')}/proxy/stats/summary"
    return await _get(connection, path, {"only_cpu_and_memory": "true"}, f"summary of node {node}")


async def _get(
    connection: ClusterConnection, path: str, params: dict[str, str], what: str, *, accept: str = "application/json"
) -> bytes:
    deadlines = aiohttp.ClientTimeout(total=min(TIMEOUT_S, connection.config.timeout_s))
    async with connection.request(
        "GET", path, params=params, headers={"Accept": accept}, deadlines=deadlines
    ) as response:
        content = await response.read()
        if response.status >= 400:
            raise connection.refused(response.status, content[:ERROR_BODY_LIMIT], what)
        return content
