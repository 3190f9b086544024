"""The resource metrics API, `metrics.k8s.io/v1beta1`, which metrics-server and others serve (k8s.io/metrics).

Its figures are of the last ten to sixty seconds; they come as quantities, cpu in nanocores. A list of ten thousand
pods is some megabytes, and cannot be had in pages.
"""

import asyncio

import aiohttp
import msgspec

from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.failures import ClusterUnreachable
from ksnap.model.quantity import milli, whole
from ksnap.model.usage import Amounts, Name, Reading, amounts

ROOT = "/apis/metrics.k8s.io/v1beta1"
NANO = 1_000_000
"""Nanocores in a millicore."""


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    namespace: str = ""


class _Use(msgspec.Struct, frozen=True, gc=False):
    cpu: str = "0"
    memory: str = "0"


class _Container(msgspec.Struct, frozen=True, gc=False):
    usage: _Use = _Use()


class _Pod(msgspec.Struct, frozen=True, gc=False):
    metadata: _Metadata = _Metadata()
    containers: tuple[_Container, ...] | None = ()


class _Node(msgspec.Struct, frozen=True, gc=False):
    metadata: _Metadata = _Metadata()
    usage: _Use = _Use()


class _Pods(msgspec.Struct, frozen=True, gc=False):
    items: tuple[_Pod, ...] | None = ()


class _Nodes(msgspec.Struct, frozen=True, gc=False):
    items: tuple[_Node, ...] | None = ()


async def check(connection: ClusterConnection) -> None:
    """NotFound where no such API is registered; ClusterUnreachable where what serves it does not answer."""
    await connection.get(ROOT, what="metrics API")


async def read(connection: ClusterConnection) -> Reading:
    """The use of all pods and nodes."""
    pods, nodes = await asyncio.gather(_get(connection, "pods"), _get(connection, "nodes"))
    try:
        return await asyncio.to_thread(parse, pods, nodes)
    except msgspec.DecodeError as error:
        raise ClusterUnreachable(
            "The metrics API's answer is not understood", details=f"cluster {connection.name}: {error}"
        ) from error


def parse(pods: bytes, nodes: bytes) -> Reading:
    """Both lists of the API as a reading."""
    found_pods: dict[Name, Amounts] = {}
    for pod in msgspec.json.decode(pods, type=_Pods).items or ():
        uses = [_amounts(each.usage) for each in pod.containers or ()]
        total = amounts(sum(cpu for cpu, _ in uses), sum(memory for _, memory in uses))
        found_pods[pod.metadata.namespace, pod.metadata.name] = total
    found_nodes = {
        ("", node.metadata.name): _amounts(node.usage) for node in msgspec.json.decode(nodes, type=_Nodes).items or ()
    }
    return Reading(found_pods, found_nodes)


def _amounts(use: _Use) -> Amounts:
    return amounts(_millicores(use.cpu), _bytes(use.memory))


def _millicores(text: str) -> int:
    """Rounded up. Nearly all are nanocores, and no two are equal: not worth a look into `quantity`'s memory."""
    if text.endswith("n") and text[:-1].isdecimal():
        return -(-int(text[:-1]) // NANO)
    return milli(text)


def _bytes(text: str) -> int:
    if text.endswith("Ki") and text[:-2].isdecimal():
        return int(text[:-2]) << 10
    return whole(text)


async def _get(connection: ClusterConnection, resource: str) -> bytes:
    deadlines = aiohttp.ClientTimeout(total=connection.config.timeout_s)

    async with connection.request("GET", f"{ROOT}/{resource}", deadlines=deadlines) as response:
        content = await response.read()
        if response.status >= 400:
            raise connection.refused(response.status, content[:ERROR_BODY_LIMIT], f"metrics of {resource}")
        return content
