"""Which pods a drain evicts, by the rules of `kubectl drain`."""

from typing import Any

import pytest

from ksnap.dashboard.writes.drain_plan import DrainOptions, parse_timeout, plan_drain
from ksnap.errors import Conflict, InvalidInput


def pod(
    name: str, *, owner: str = "", phase: str = "Running", mirror: bool = False, volumes: tuple[str, ...] = ()
) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "o", "uid": "o", "controller": True}] if owner else []
    annotations = {"kubernetes.io/config.mirror": "x"} if mirror else {}
    metadata = {"name": name, "namespace": "ns", "uid": name, "annotations": annotations, "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"volumes": [{each: {}} for each in volumes]}, "status": {"phase": phase}}


PODS = [
    pod("static", mirror=True),
    pod("daemon", owner="DaemonSet"),
    pod("done-daemon", owner="DaemonSet", phase="Failed"),
    pod("app", owner="ReplicaSet"),
    pod("bare"),
    pod("bare-done", phase="Succeeded", volumes=("emptyDir",)),
    pod("scratch", owner="ReplicaSet", volumes=("emptyDir", "configMap")),
]


def test_by_default_all_but_the_nodes_own_and_daemons() -> None:
    plan = plan_drain(PODS, DrainOptions())
    assert [each.name for each in plan.evict] == ["done-daemon", "app", "bare", "bare-done", "scratch"]
    assert [each.pod.name for each in plan.skip] == ["static", "daemon"]
    assert all(each.reason for each in plan.skip)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (DrainOptions(force=False), ["ns/bare has no controller"]),
        (DrainOptions(delete_empty_dir_data=False), ["ns/scratch has data"]),
        (DrainOptions(ignore_daemon_sets=False), ["ns/daemon belongs to a DaemonSet"]),
        (DrainOptions(force=False, ignore_daemon_sets=False), ["ns/bare ", "ns/daemon "]),
    ],
)
def test_what_the_options_do_not_allow(options: DrainOptions, named: list[str]) -> None:
    with pytest.raises(Conflict) as refused:
        plan_drain(PODS, options)
    assert all(each in refused.value.details for each in named)
    assert refused.value.details.count("ns/") == len(named)


def test_many_refused_pods_are_counted() -> None:
    with pytest.raises(Conflict, match="cannot be drained") as refused:
        plan_drain([pod(f"p{number}") for number in range(30)], DrainOptions(force=False))
    assert refused.value.details.endswith("and 20 more")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (120_000_000_000, 120),
        (1.5e9, 1.5),
        (0, 0),
        ("0", 0),
        ("2m", 120),
        ("1h0m30s", 3630),
        ("1.5s", 1.5),
        ("100ms", 0.1),
    ],
)
def test_timeouts(given: int | float | str, seconds: float) -> None:
    assert parse_timeout(given) == pytest.approx(seconds)


@pytest.mark.parametrize("given", ["", "2", "2 m", "m", "-2m", -1, "25h", 1e300, "1d"])
def test_what_is_no_timeout(given: float | str) -> None:
    with pytest.raises(InvalidInput):
        parse_timeout(given)


def test_no_timeout_is_still_bounded() -> None:
    assert DrainOptions(timeout_s=0).limit_s == 86_400
