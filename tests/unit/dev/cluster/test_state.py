"""What is kept in files: the cluster's description, kubeconfigs, passwords, the host's settings, logs."""

import json
import stat
from pathlib import Path

import pytest

from dev.cluster import info, kubeconfig, registries, sysctls
from dev.cluster.debian import package_versions
from dev.cluster.errors import NotUpError, with_log
from dev.cluster.gobuild import kubernetes_version
from dev.cluster.info import ClusterInfo, NodeInfo, RegistryInfo
from dev.cluster.pki import Authority
from dev.cluster.settings import read_settings


def _info() -> ClusterInfo:
    return ClusterInfo(
        instance="ksnap",
        kubeconfig=Path("/s/kubeconfig"),
        api_server="https://10.77.0.1:6443",
        ca_file=Path("/s/ca.crt"),
        registries={
            "open": RegistryInfo("10.77.0.1:5000", Path("/s/ca.crt")),
            "private": RegistryInfo("10.77.0.1:5001", Path("/s/ca.crt"), "ksnap", Path("/s/password")),
        },
        images={"webapp": "10.77.0.1:5000/webapp@sha256:00"},
        nodes=(NodeInfo("node1", "10.77.0.11", 7, 8, "v2.4.2", Path("/s/log/node1")),),
        versions={"kubernetes": "v1.36.3"},
        tools={"kubectl": Path("/c/kubectl")},
        limits_shim=True,
    )


def test_a_description_is_read_as_it_was_written() -> None:
    assert info.parse(info.dump(_info())) == _info()


def test_without_a_cluster_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotUpError, match=r"dev\.cluster up"):
        info.load(read_settings({"KSNAP_CLUSTER_DIR": str(tmp_path)}))


def test_a_node_is_found_by_name_and_reached_from_the_host() -> None:
    assert _info().node("node1").path("/var/log/x") == Path("/proc/8/root/var/log/x")
    with pytest.raises(NotUpError, match="node2"):
        _info().node("node2")


def test_a_kubeconfig_is_whole_and_private(tmp_path: Path) -> None:
    Authority(tmp_path).issue("admin", common_name="admin")
    kubeconfig.write(tmp_path / "kubeconfig", server="https://api", pki=tmp_path, client="admin")

    content = json.loads((tmp_path / "kubeconfig").read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://api"
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600


def test_a_password_is_hashed_as_the_registry_reads_it() -> None:
    hashed = registries.bcrypt("correct horse")

    assert hashed.startswith("$2b$08$")
    assert len(hashed) == 60
    assert registries.bcrypt("correct horse") != hashed


def test_sysctls_are_put_back_as_the_first_run_found_them(tmp_path: Path) -> None:
    setting = tmp_path / "proc" / "vm" / "overcommit_memory"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    note = tmp_path / "note"
    sysctls.note(note, tmp_path / "proc")
    setting.write_text("1\n")
    sysctls.note(note, tmp_path / "proc")
    sysctls.put_back(note, tmp_path / "proc")

    assert setting.read_text() == "0"
    assert not note.exists()


def test_an_error_quotes_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("".join(f"line {number}\n" for number in range(1000)))
    message = with_log("it failed", tmp_path / "x.log")

    assert str(tmp_path / "x.log") in message
    assert "line 999" in message
    assert "line 900\n" not in message
    assert "(empty)" in with_log("it failed", tmp_path / "none.log")


def test_versions_are_read_from_dpkg(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: criu\nVersion: 4.2.1-1\nDescription: x\n y: z\n\nPackage: other\nVersion: 1\n")

    assert package_versions(tmp_path, ["criu"]) == {"criu": "4.2.1-1"}


def test_kubernetes_is_the_line_that_the_product_is_for() -> None:
    assert kubernetes_version().startswith("v1.36.")
