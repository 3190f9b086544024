"""What a pod reserves, as the scheduler counts it (KEP-753 for sidecars, KEP-2837 for resources of the pod). Pure."""

from collections.abc import Callable, Mapping, Sequence

from ksnap.dashboard.kinds.pod_wire import Container, PodSpec
from ksnap.kube.watch.records import Part
from ksnap.model.quantity import milli, whole

Amounts = dict[str, int]


class Gpu(Part, frozen=True):
    quantity: int = 0
    type: str = ""


class Allocated(Part, frozen=True, omit_defaults=False):
    """PodAllocated: millicores and bytes."""

    cpu_requests: int = 0
    cpu_limits: int = 0
    memory_requests: int = 0
    memory_limits: int = 0
    gpu_requests: tuple[Gpu, ...] = ()
    gpu_limits: tuple[Gpu, ...] = ()


def allocated(spec: PodSpec) -> Allocated:
    requests = _with_pods_own(_total(spec, lambda each: each.resources.requests), spec.resources.requests)
    limits = _with_pods_own(_total(spec, lambda each: each.resources.limits), spec.resources.limits)
    for name, amount in _amounts(spec.overhead).items():
        requests[name] = requests.get(name, 0) + amount
        if name in limits:
            limits[name] += amount
    return Allocated(
        requests.get("cpu", 0),
        limits.get("cpu", 0),
        requests.get("memory", 0),
        limits.get("memory", 0),
        _gpus(requests),
        _gpus(limits),
    )


def _total(spec: PodSpec, of: Callable[[Container], Mapping[str, str] | None]) -> Amounts:
    """All that run together; or, if that is more, an init container with the sidecars that run before it."""
    together = _sum([_amounts(of(each)) for each in spec.containers])
    sidecars: Amounts = {}
    highest: Amounts = {}
    for each in spec.init_containers:
        if each.is_sidecar:
            sidecars = _sum([sidecars, _amounts(of(each))])
            highest = _largest(highest, sidecars)
        else:
            highest = _largest(highest, _sum([sidecars, _amounts(of(each))]))
    return _largest(_sum([together, sidecars]), highest)


def _with_pods_own(amounts: Amounts, own: Mapping[str, str] | None) -> Amounts:
    return {**amounts, **_amounts(own)}


def _amounts(given: Mapping[str, str] | None) -> Amounts:
    return {name: milli(text) if name == "cpu" else whole(text) for name, text in (given or {}).items()}


def _sum(parts: Sequence[Amounts]) -> Amounts:
    found: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found.get(name, 0) + amount
    return found


def _largest(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in (*one, *other)}


def _gpus(amounts: Amounts) -> tuple[Gpu, ...]:
    return tuple(Gpu(amount, kind) for name, amount in sorted(amounts.items()) if amount and (kind := gpu_type(name)))


def gpu_type(resource: str) -> str:
    """The contract's names of GPUs by resource; empty for what is none."""
    if resource == "nvidia.com/gpu":
        return "nvidia"
    if resource == "amd.com/gpu":
        return "amd"
    if resource.startswith("gpu.intel.com"):
        return "intel"
    return "unknown" if "gpu" in resource else ""
