"""The switches are found wherever the runtime itself would find them."""

from pathlib import Path

import pytest

from ksnap.agent.restore_support import RuntimeSwitches
from ksnap.agent.runtime_config import containerd_switches, crio_switches, runtime_handler_binary

V3 = """
version = 3
[plugins.'io.containerd.cri.v1.runtime']
  enable_experimental_restore_via_create = {value}
"""
V2 = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  enable_criu = false
"""


def test_no_file_means_all_defaults(tmp_path: Path) -> None:
    assert containerd_switches(tmp_path) == RuntimeSwitches()


def test_switch_is_read_from_the_main_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(V3.format(value="true"))

    assert containerd_switches(tmp_path).restore is True


def test_switch_is_read_under_the_older_plugin_id(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(V2)

    assert containerd_switches(tmp_path).criu is False


def test_imported_files_win_over_the_main_file(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "config.toml").write_text('imports = ["/etc/containerd/conf.d/*.toml"]\n' + V3.format(value="false"))
    (tmp_path / "conf.d" / "restore.toml").write_text(V3.format(value="true"))

    assert containerd_switches(tmp_path).restore is True


def test_imports_from_elsewhere_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('imports = ["/opt/other/*.toml", "/etc/passwd"]\n')

    assert containerd_switches(tmp_path) == RuntimeSwitches()


def test_broken_file_is_told_as_unreadable(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("version = [")

    assert containerd_switches(tmp_path).readable is False


def test_crio_reads_its_drop_ins_last(tmp_path: Path) -> None:
    (tmp_path / "crio.conf.d").mkdir()
    (tmp_path / "crio.conf").write_text("[crio.runtime]\nenable_criu_support = false\n")
    (tmp_path / "crio.conf.d" / "10-criu.conf").write_text("[crio.runtime]\nenable_criu_support = true\n")

    assert crio_switches(tmp_path).criu is True


def test_crio_without_its_folder_is_unreadable(tmp_path: Path) -> None:
    assert crio_switches(tmp_path / "absent").readable is False


HANDLER = """
[plugins.'{plugin}'.containerd.runtimes.{name}]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'{plugin}'.containerd.runtimes.{name}.options]
    BinaryName = '{binary}'
"""
CRI_V1 = "io.containerd.cri.v1.runtime"
WRAPPER = "/opt/ksnap/bin/ksnap-runc"


@pytest.mark.parametrize("plugin", [CRI_V1, "io.containerd.grpc.v1.cri"])
def test_handlers_binary_is_read_under_either_plugin_id(tmp_path: Path, plugin: str) -> None:
    (tmp_path / "config.toml").write_text(HANDLER.format(plugin=plugin, name="ksnap", binary=WRAPPER))

    assert runtime_handler_binary(tmp_path, "ksnap") == WRAPPER
    assert runtime_handler_binary(tmp_path, "runc") == ""


def test_handler_is_read_from_a_drop_in_which_wins(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    main = HANDLER.format(plugin=CRI_V1, name="ksnap", binary="/usr/sbin/runc")
    (tmp_path / "config.toml").write_text('imports = ["/etc/containerd/conf.d/*.toml"]\n' + main)
    (tmp_path / "conf.d" / "ksnap.toml").write_text(HANDLER.format(plugin=CRI_V1, name="ksnap", binary=WRAPPER))

    assert runtime_handler_binary(tmp_path, "ksnap") == WRAPPER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plugins = 1",
        "version = [",
        HANDLER.format(plugin=CRI_V1, name="runc", binary=WRAPPER),
        f"[plugins.'{CRI_V1}'.containerd.runtimes.ksnap]\nruntime_type = 'io.containerd.runc.v2'",
        f"[plugins.'{CRI_V1}'.containerd]\nruntimes = 1",
    ],
)
def test_no_such_handler_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)

    assert runtime_handler_binary(tmp_path, "ksnap") == ""


def test_no_file_names_no_handler(tmp_path: Path) -> None:
    assert runtime_handler_binary(tmp_path, "ksnap") == ""
