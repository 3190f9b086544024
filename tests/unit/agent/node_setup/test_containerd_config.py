"""containerd's configuration with our handler: what a node has is kept, what is ours can be taken back exactly."""

import tomllib
from pathlib import PurePosixPath
from typing import Any

import pytest

from ksnap.agent.node_setup.containerd_config import (
    DROP_IN,
    IMPORT_LINE,
    MADE_FOLDER,
    covers,
    drop_in,
    is_ours,
    runc_options,
    with_import,
    without_import,
)
from ksnap.errors import Conflict

BINARY = PurePosixPath("/opt/ksnap/bin/ksnap-runc")
NEW = "io.containerd.cri.v1.runtime"
OLD = "io.containerd.grpc.v1.cri"


def runtimes(name: str, options: dict[str, Any], *, plugin: str = NEW, **fields: Any) -> dict[str, Any]:
    return {"plugins": {plugin: {"containerd": {"runtimes": {name: {"options": options, **fields}}}}}}


def handler(text: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["plugins"][NEW]["containerd"]["runtimes"]["ksnap"]
    return found


def test_the_handler_calls_the_wrapper_and_is_told_of_our_annotations() -> None:
    made = handler(drop_in([], binary=BINARY, made_folder=False))
    assert made["runtime_type"] == "io.containerd.runc.v2"
    assert made["options"] == {"BinaryName": str(BINARY)}
    assert made["pod_annotations"] == made["container_annotations"]
    assert made["pod_annotations"] == ["restore.ksnap.dev/*", "hostname.ksnap.dev/*", "ksnap.dev/*"]


@pytest.mark.parametrize("plugin", [NEW, OLD])
def test_the_nodes_cgroup_driver_is_taken_over(plugin: str) -> None:
    documents = [runtimes("runc", {"SystemdCgroup": True, "BinaryName": "/usr/sbin/runc"}, plugin=plugin)]
    made = handler(drop_in(documents, binary=BINARY, made_folder=False))
    assert made["options"] == {"BinaryName": str(BINARY), "SystemdCgroup": True}


def test_a_later_file_wins_key_by_key() -> None:
    documents = [
        runtimes("runc", {"SystemdCgroup": False, "NoPivotRoot": True}),
        runtimes("runc", {"SystemdCgroup": True}),
    ]
    assert runc_options(documents) == {"SystemdCgroup": True, "NoPivotRoot": True}


def test_the_default_handler_counts_if_it_is_runc() -> None:
    default = {"plugins": {NEW: {"containerd": {"default_runtime_name": "fast"}}}}
    fast = runtimes("fast", {"SystemdCgroup": True}, runtime_type="io.containerd.runc.v2")
    assert runc_options([default, runtimes("runc", {"SystemdCgroup": False}), fast]) == {"SystemdCgroup": True}


def test_a_default_handler_that_is_not_runc_says_nothing_of_ours() -> None:
    default = {"plugins": {NEW: {"containerd": {"default_runtime_name": "kata"}}}}
    kata = runtimes("kata", {"ConfigPath": "/x"}, runtime_type="io.containerd.kata.v2")
    assert runc_options([default, kata, runtimes("runc", {"SystemdCgroup": True})]) == {"SystemdCgroup": True}


def test_the_drop_in_is_known_again() -> None:
    text = drop_in([], binary=BINARY, made_folder=True)
    assert is_ours(tomllib.loads(text))
    assert MADE_FOLDER in text
    assert not is_ours(runtimes("runc", {}))


@pytest.mark.parametrize(
    "text", ["version = 3\n", "version = 2\n[plugins]\n", "# only words\nversion = 3\n\n[debug]\nlevel = 'info'\n"]
)
def test_an_import_is_added_and_taken_back_to_the_letter(text: str) -> None:
    added = with_import(text)
    assert covers(tomllib.loads(added)["imports"])
    assert with_import(added) == added
    assert without_import(added) == text


def test_a_node_without_a_file_gets_one_and_loses_it() -> None:
    made = with_import(None)
    assert tomllib.loads(made)["version"] == 3
    assert without_import(made) is None


@pytest.mark.parametrize("pattern", ["/etc/containerd/conf.d/*.toml", "conf.d/*.toml", str(DROP_IN)])
def test_imports_of_its_own_that_cover_the_drop_in_are_left_alone(pattern: str) -> None:
    text = f"version = 3\nimports = ['{pattern}']\n"
    assert with_import(text) == text
    assert without_import(text) == text


def test_imports_that_do_not_cover_it_are_a_conflict_that_says_what_to_add() -> None:
    with pytest.raises(Conflict) as caught:
        with_import("imports = ['/etc/containerd/extra/*.toml']\nversion = 3\n")
    assert "/etc/containerd/conf.d/*.toml" in caught.value.hint


def test_a_configuration_of_version_1_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="version 1"):
        with_import("[plugins]\n")


def test_our_import_is_the_first_line_as_toml_wants_it() -> None:
    assert with_import("version = 3\n[debug]\n").splitlines(keepends=True)[0] == IMPORT_LINE
