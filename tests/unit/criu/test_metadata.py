"""Metadata and annotations of archives by each engine, as checkpointctl 1.6.0 reads them."""

import json
from typing import Any

import pytest

from ksnap.criu.archive import ArchiveReader
from ksnap.criu.metadata import ArchiveMetadata, checkpoint_annotations, image_annotations, read_metadata
from ksnap.errors import CheckpointFailed
from tests.parties.archives import IMAGE, small_archive


def containerd() -> ArchiveMetadata:
    reader = ArchiveReader()
    reader.feed(small_archive(container="cart"))
    return read_metadata(reader.finish().documents)


def parsed(config: Any, spec: Any) -> ArchiveMetadata:
    return read_metadata({"config.dump": json.dumps(config).encode(), "spec.dump": json.dumps(spec).encode()})


def test_containerd_names_come_from_the_spec() -> None:
    found = containerd()
    assert (found.engine, found.container_name, found.namespace) == ("containerd", "cart", "demo")
    assert found.pod_name == "webapp-6d5c9c8b7d-x2x4p"
    assert found.criu_version == "4.2.1"


def test_annotations_are_checkpointctls_eight() -> None:
    assert checkpoint_annotations(containerd()) == {
        "org.criu.checkpoint.engine.name": "containerd",
        "org.criu.checkpoint.container.name": "cart",
        "org.criu.checkpoint.pod.name": "webapp-6d5c9c8b7d-x2x4p",
        "org.criu.checkpoint.pod.namespace": "demo",
        "org.criu.checkpoint.rootfsImageUserRequested": IMAGE,
        "org.criu.checkpoint.rootfsImageName": IMAGE,
        "org.criu.checkpoint.rootfsImageID": f"registry.test/snap/webapp@sha256:{'1' * 64}",
        "org.criu.checkpoint.runtime.name": "io.containerd.runc.v2",
    }


def test_crio_restores_by_the_containers_name() -> None:
    assert image_annotations(containerd())["io.kubernetes.cri-o.annotations.checkpoint.name"] == "cart"


def test_crio_names_come_from_its_own_annotations() -> None:
    annotations = {
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.Metadata": '{"name": "cart", "attempt": 1}',
        "io.kubernetes.pod.name": "cart-0",
        "io.kubernetes.pod.namespace": "shop",
    }
    found = parsed({"runtime": "crun"}, {"annotations": annotations})
    assert (found.engine, found.container_name, found.pod_name, found.namespace) == ("CRI-O", "cart", "cart-0", "shop")


def test_podman_has_no_pod() -> None:
    found = parsed({"name": "cart"}, {"annotations": {"io.container.manager": "libpod"}})
    assert (found.engine, found.container_name, found.pod_name) == ("Podman", "cart", "")


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        ([], {}),
        ({}, []),
        ({}, {"annotations": []}),
        ({"runtime": 5}, {}),
        ({"runtime": "x" * 5000}, {}),
        ({}, {"annotations": {"io.container.manager": "cri-o", "io.kubernetes.cri-o.Metadata": "{"}}),
    ],
)
def test_malformed_documents_are_refused(config: Any, spec: Any) -> None:
    with pytest.raises(CheckpointFailed):
        parsed(config, spec)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointFailed, match="refused"):
        read_metadata({"config.dump": data, "spec.dump": b"{}"})
