"""Where an instance lives, which addresses and names it takes."""

from pathlib import Path

import pytest

from dev.cluster.errors import ClusterError
from dev.cluster.layout import Layout
from dev.cluster.settings import MAX_NODES, read_settings


def test_the_default_instance_lives_below_the_home_folder() -> None:
    settings = read_settings({"HOME": "/home/ada"})

    assert settings.cache == Path("/home/ada/.cache/ksnap")
    assert settings.state == Path("/home/ada/.local/state/ksnap/cluster")
    assert (settings.instance, settings.nodes_subnet, settings.pods_subnet) == ("ksnap", "10.77", "10.78")


def test_folders_follow_the_environment() -> None:
    xdg = {"HOME": "/home/ada", "XDG_CACHE_HOME": "/fast", "XDG_STATE_HOME": "/var/state"}

    assert read_settings(xdg).cache == Path("/fast/ksnap")
    assert read_settings(xdg).state == Path("/var/state/ksnap/cluster")
    assert read_settings(xdg | {"KSNAP_CACHE_DIR": "/c"}).cache == Path("/c")
    assert read_settings(xdg | {"KSNAP_CLUSTER_DIR": "/s"}).state == Path("/s")


def test_two_instances_share_nothing_but_the_cache() -> None:
    first = Layout(read_settings({"HOME": "/h"}))
    other = Layout(read_settings({"HOME": "/h", "KSNAP_CLUSTER_INSTANCE": "spare", "KSNAP_CLUSTER_SUBNET": "10.97"}))

    for name in ("state", "gateway", "loopback", "bridge", "pods_cidr", "registry", "cgroup"):
        assert getattr(first, name) != getattr(other, name)
    for name in ("address", "pod_cidr", "netns", "link", "cgroup", "folder"):
        assert getattr(first.node(1), name) != getattr(other.node(1), name)
    assert first.settings.cache == other.settings.cache


@pytest.mark.parametrize("instance", ["", "Up", "1st", "a-b", "far-too-long", "../etc"])
def test_an_instance_name_must_fit_into_names_of_interfaces(instance: str) -> None:
    with pytest.raises(ClusterError, match="KSNAP_CLUSTER_INSTANCE"):
        read_settings({"KSNAP_CLUSTER_INSTANCE": instance})


@pytest.mark.parametrize("subnet", ["10", "10.255", "10.77.0", "300.1", "x.y"])
def test_a_subnet_is_two_numbers_with_room_for_the_pods(subnet: str) -> None:
    with pytest.raises(ClusterError, match="KSNAP_CLUSTER_SUBNET"):
        read_settings({"KSNAP_CLUSTER_SUBNET": subnet})


def test_names_of_links_fit_the_kernel() -> None:
    layout = Layout(read_settings({"KSNAP_CLUSTER_INSTANCE": "ninechars"}))

    assert all(len(name) <= 15 for name in [layout.bridge, *(node.link for node in layout.all_nodes())])


@pytest.mark.parametrize("index", [0, MAX_NODES + 1])
def test_nodes_are_numbered_from_one(index: int) -> None:
    with pytest.raises(ValueError, match="numbered"):
        Layout(read_settings({})).node(index)
