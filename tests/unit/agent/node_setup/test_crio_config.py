"""CRI-O's drop-in: a handler that CRI-O accepts, with what the node's own says of the monitor."""

import tomllib
from pathlib import PurePosixPath
from typing import Any

import pytest

from ksnap.agent.node_setup.containerd_config import HANDLER
from ksnap.agent.node_setup.crio_config import DROP_IN, drop_in
from ksnap.checkpoints import remedies

BINARY = PurePosixPath("/opt/ksnap/bin/ksnap-runc")
ORDINARY = {
    "runtime_path": str(BINARY),
    "runtime_type": "oci",
    "runtime_root": "/run/runc",
    "monitor_env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}
PACKAGED = {
    "runtime_path": "/usr/libexec/crio/crun",
    "runtime_root": "/run/crun",
    "monitor_path": "/usr/libexec/crio/conmon",
    "monitor_cgroup": "pod",
    "allowed_annotations": ["io.kubernetes.cri-o.ShmSize"],
    "privileged_without_host_devices": True,
}
"""As CRI-O's own packages write theirs into crio.conf.d/10-crio.conf."""
TAKEN = {name: PACKAGED[name] for name in ("monitor_path", "monitor_cgroup", "allowed_annotations")}


def runtime(**fields: Any) -> dict[str, Any]:
    return {"crio": {"runtime": fields}}


def rendered(*documents: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(drop_in(documents, binary=BINARY))
    return found


def test_a_node_that_says_nothing_gets_the_handler_and_criu() -> None:
    assert rendered() == runtime(enable_criu_support=True, runtimes={HANDLER: ORDINARY})


@pytest.mark.parametrize(
    "documents",
    [
        [runtime(runtimes={"crun": PACKAGED})],
        [runtime(runtimes={"runc": PACKAGED})],
        [runtime(default_runtime="runc"), runtime(default_runtime="fast", runtimes={"fast": PACKAGED})],
        [runtime(runtimes={"crun": {"monitor_path": "/old", "monitor_exec_cgroup": "x"}}),
         runtime(runtimes={"crun": PACKAGED})],
    ],
    ids=["crun", "runc", "another default", "a later file replaces the whole handler"],
)  # fmt: skip
def test_the_monitor_and_the_annotations_are_those_of_the_default_handler(documents: list[dict[str, Any]]) -> None:
    assert rendered(*documents)["crio"]["runtime"]["runtimes"] == {HANDLER: {**ORDINARY, **TAKEN}}


def test_a_virtual_machines_handler_says_nothing_of_ours() -> None:
    kata = {"runtime_type": "vm", "monitor_path": "/usr/bin/shim"}
    made = rendered(runtime(default_runtime="kata", runtimes={"kata": kata}))
    assert made["crio"]["runtime"]["runtimes"] == {HANDLER: ORDINARY}


def test_crio_is_not_asked_to_allow_annotations_that_it_does_not_know() -> None:
    """It would not start: "invalid allowed_annotation"."""
    assert "ksnap.dev" not in drop_in([], binary=BINARY)


def test_the_doctors_lines_for_crio_are_a_part_of_it() -> None:
    [(switch, value)] = tomllib.loads(remedies.CRIO_CRIU)["crio"]["runtime"].items()
    assert rendered()["crio"]["runtime"][switch] is value is True
    assert str(DROP_IN.parent) in remedies.CRIO_CRIU
