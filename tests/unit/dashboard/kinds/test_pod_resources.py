"""What a pod reserves: the scheduler's own sums."""

from typing import Any

import msgspec
import pytest

from ksnap.dashboard.kinds.pod_resources import Allocated, Gpu, allocated, gpu_type
from ksnap.dashboard.kinds.pod_wire import PodSpec


def container(cpu: str = "0", memory: str = "0", /, *, sidecar: bool = False, **limits: str) -> dict[str, Any]:
    policy = {"restartPolicy": "Always"} if sidecar else {}
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": limits}, **policy}


def of(**spec: Any) -> Allocated:
    return allocated(msgspec.convert(spec, PodSpec))


def test_nothing() -> None:
    assert of() == Allocated()
    assert of(containers=[{}]) == Allocated()


def test_containers_add_up() -> None:
    found = of(containers=[container("100m", "64Mi", cpu="1"), container("1", "1Gi", memory="2Gi")])
    assert found == Allocated(1100, 1000, 1088 << 20, 2 << 30)


def test_an_init_container_counts_where_it_is_the_largest() -> None:
    found = of(containers=[container("100m", "64Mi")], initContainers=[container("500m", "10Mi"), container("200m")])
    assert (found.cpu_requests, found.memory_requests) == (500, 64 << 20)


def test_sidecars_add_up_and_run_beside_later_init_containers() -> None:
    found = of(
        containers=[container("100m")],
        initContainers=[container("50m"), container("300m", sidecar=True), container("200m")],
    )
    assert found.cpu_requests == 500  # the sidecar and the init container behind it, more than the 400m of later
    assert of(containers=[container("100m")], initContainers=[container("300m", sidecar=True)]).cpu_requests == 400


def test_overhead_and_resources_of_the_pod() -> None:
    found = of(containers=[container("100m", "1Mi", cpu="1")], overhead={"cpu": "20m", "memory": "1Mi"})
    assert (found.cpu_requests, found.cpu_limits, found.memory_requests) == (120, 1020, 2 << 20)
    whole = of(containers=[container("100m")], resources={"requests": {"cpu": "3"}, "limits": {"cpu": "4"}})
    assert (whole.cpu_requests, whole.cpu_limits) == (3000, 4000)


def test_gpus() -> None:
    gpus = {"nvidia.com/gpu": "2", "cpu": "1"}
    found = of(containers=[{"resources": {"requests": gpus, "limits": gpus}}])
    assert (found.gpu_requests, found.gpu_limits) == ((Gpu(2, "nvidia"),), (Gpu(2, "nvidia"),))


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("nvidia.com/gpu", "nvidia"),
        ("amd.com/gpu", "amd"),
        ("gpu.intel.com/i915", "intel"),
        ("example.com/gpu-small", "unknown"),
        ("cpu", ""),
    ],
)
def test_types_of_gpus(resource: str, kind: str) -> None:
    assert gpu_type(resource) == kind
