"""The nodes' network: a bridge on the host, one network namespace and one link per node.

Pods of one node reach those of another by a route through that node's address, on the bridge itself: the host
forwards nothing, so no setting of the host's is changed. Whoever uses these functions must enter a namespace with
`nsenter --net`; `ip netns exec` would mount a /sys without cgroups, which no kubelet survives.
"""

from __future__ import annotations

from pathlib import Path

from dev.cluster.commands import run, succeeds
from dev.cluster.layout import Layout, NodeLayout

NETNS = Path("/run/netns")


def create_bridge(layout: Layout) -> None:
    """The host's side of the network. A bridge that is there already is taken as it is."""
    if not link_exists(layout.bridge):
        run(["ip", "link", "add", layout.bridge, "type", "bridge"])
    run(["ip", "address", "replace", f"{layout.gateway}/24", "dev", layout.bridge])
    run(["ip", "link", "set", layout.bridge, "up"])


def create_node(layout: Layout, node: NodeLayout) -> None:
    """A fresh namespace for a node, as after switching a machine on."""
    remove_node(node)
    run(["ip", "netns", "add", node.netns])
    run(["ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.netns])
    run(["ip", "link", "set", node.link, "master", layout.bridge, "up"])
    inside = ["ip", "-netns", node.netns]
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "add", f"{node.address}/24", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "up"])
    run([*inside, "route", "add", "default", "via", layout.gateway])
    for other in layout.all_nodes():
        if other.index != node.index:
            run([*inside, "route", "add", other.pod_cidr, "via", other.address])
    run(["ip", "route", "replace", node.pod_cidr, "via", node.address, "dev", layout.bridge])
    run(["nsenter", f"--net={NETNS / node.netns}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def remove_node(node: NodeLayout) -> None:
    """Remove a node's link and namespace; fine if they are not there."""
    if link_exists(node.link):
        run(["ip", "link", "delete", node.link])
    namespace = NETNS / node.netns
    if namespace.exists():
        # A killed `ip netns add` leaves a plain file, which `ip netns delete` removes as well.
        run(["ip", "netns", "delete", node.netns])


def remove_bridge(layout: Layout) -> None:
    """Remove the bridge, and with it the routes over it."""
    if link_exists(layout.bridge):
        run(["ip", "link", "delete", layout.bridge])


def link_exists(name: str) -> bool:
    return succeeds(["ip", "link", "show", "dev", name])
