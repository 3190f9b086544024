"""A node's layer: written once, kept while nothing changes, and the product's changes with it."""

from pathlib import Path

import pytest

from dev.cluster.layout import Layout, NodeLayout
from dev.cluster.pki import Authority
from dev.cluster.provision import NodeParts, provision
from dev.cluster.settings import read_settings


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(read_settings({"KSNAP_CLUSTER_DIR": str(tmp_path / "state")}))


@pytest.fixture
def parts(tmp_path: Path) -> NodeParts:
    """A file system with just what is looked at, and a shim as on a machine without CAP_SYS_RESOURCE."""
    root = tmp_path / "root"
    for name in ("etc/ssl/certs/ca-certificates.crt", "usr/sbin/criu"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(f"Debian's {name}\n")
    shim = tmp_path / "limits-0"
    shim.write_text("shim")
    return NodeParts(root, "registry/pause@sha256:0", shim)


def _provision(layout: Layout, parts: NodeParts) -> NodeLayout:
    node = layout.node(1)
    authority = Authority(layout.pki)
    authority.issue("kube-proxy", common_name="system:kube-proxy")
    (layout.pki / "kube-proxy.kubeconfig").touch()
    provision(layout, node, parts, authority)
    return node


def test_what_the_product_installs_on_a_node_survives(layout: Layout, parts: NodeParts) -> None:
    node = _provision(layout, parts)
    added = node.upper / "etc/containerd/conf.d/ksnap.toml"
    added.write_text("version = 3\n")
    _provision(layout, parts)

    assert added.exists()


def test_other_parts_make_the_node_anew(layout: Layout, parts: NodeParts) -> None:
    added = _provision(layout, parts).upper / "etc/containerd/conf.d/ksnap.toml"
    added.write_text("version = 3\n")
    _provision(layout, NodeParts(parts.root, "registry/pause@sha256:1", parts.limits_shim))

    assert not added.exists()


def test_the_clusters_authority_is_trusted_beside_debians(layout: Layout, parts: NodeParts) -> None:
    bundle = (_provision(layout, parts).upper / "etc/ssl/certs/ca-certificates.crt").read_text()

    assert bundle == "Debian's etc/ssl/certs/ca-certificates.crt\n" + layout.ca.read_text()


def test_criu_gets_the_shim_only_where_it_is_needed(layout: Layout, parts: NodeParts) -> None:
    upper = _provision(layout, parts).upper
    config = upper / "etc/containerd/config.toml"
    assert "LD_PRELOAD" in (upper / "usr/sbin/criu").read_text()
    assert (upper / "usr/sbin/criu.real").read_text() == "Debian's usr/sbin/criu\n"
    assert "restrict_oom_score_adj = true" in config.read_text()

    _provision(layout, NodeParts(parts.root, parts.pause, None))
    assert not (upper / "usr/sbin").exists()
    assert "restrict_oom_score_adj = false" in config.read_text()


def test_criu_is_told_nothing_about_connections(layout: Layout, parts: NodeParts) -> None:
    upper = _provision(layout, parts).upper

    assert list((upper / "etc/criu").iterdir()) == []
