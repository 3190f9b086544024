"""A container in a pod, whichever list it is in."""

from typing import Any

from ksnap.dashboard.terminal.containers import find


def pod(listed: str, statuses: str, state: dict[str, Any] | None) -> dict[str, Any]:
    told = [] if state is None else [{"name": "app", "state": state}]
    return {"spec": {listed: [{"name": "other"}, {"name": "app"}]}, "status": {statuses: told}}


def test_each_list_is_looked_at() -> None:
    for kind in ("container", "initContainer", "ephemeralContainer"):
        found = find(pod(f"{kind}s", f"{kind}Statuses", {"running": {"startedAt": "x"}}), "app")
        assert found is not None
        assert found.is_running


def test_what_does_not_run_says_how_it_stands() -> None:
    told = {"waiting (CrashLoopBackOff)": {"waiting": {"reason": "CrashLoopBackOff"}}, "not started yet": None}
    for standing, state in told.items():
        found = find(pod("containers", "containerStatuses", state), "app")
        assert found is not None
        assert (found.is_running, found.standing) == (False, standing)


def test_what_is_not_there() -> None:
    assert find(pod("containers", "containerStatuses", {"running": {}}), "none") is None
    assert find({}, "app") is None
