"""Both versions of cgroups are recognised by what their roots hold."""

from pathlib import Path

from dev.cluster import cgroups


def _tree(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").touch()
    return folder


def test_v1_has_a_hierarchy_per_controller_and_one_tree_more(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "unified"):
        _tree(tmp_path / name)
    (tmp_path / "cpuacct").mkdir()

    assert not cgroups.unified(tmp_path)
    assert [path.name for path in cgroups.hierarchies(tmp_path)] == ["cpu", "memory"]
    assert [path.name for path in cgroups.trees(tmp_path)] == ["cpu", "memory", "unified"]


def test_v2_has_one_hierarchy(tmp_path: Path) -> None:
    root = _tree(tmp_path / "cgroup")
    (root / "cgroup.controllers").write_text("cpu memory\n")

    assert cgroups.unified(root)
    assert cgroups.hierarchies(root) == cgroups.trees(root) == [root]


def test_a_cgroup_that_is_not_there_has_no_members() -> None:
    assert cgroups.members("ksnap-no-such-instance") == []
