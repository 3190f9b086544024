"""Images written by hand are what the image-spec says, byte for byte the same each time."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from dev.cluster import oci


def _root(folder: Path) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "run").write_text("#!/bin/sh\n")
    (folder / "app" / "run").chmod(0o755)
    (folder / "app" / "link").symlink_to("run")
    return folder


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    images = []
    for name in ("one", "two"):
        folder = tmp_path / f"{name}-image"
        folder.mkdir()
        images.append(oci.build(folder, [oci.layer_tar(_root(tmp_path / name))], {"User": "1000"}))

    assert images[0].digest == images[1].digest


def test_descriptors_tell_the_truth(tmp_path: Path) -> None:
    layer = oci.layer_tar(_root(tmp_path / "root"))
    (tmp_path / "image").mkdir()
    image = oci.build(tmp_path / "image", [layer], {"Entrypoint": ["/app/run"]})

    manifest = json.loads(image.manifest.path.read_text())
    config_blob, layer_blob = image.blobs
    for blob in (image.manifest, *image.blobs):
        content = blob.path.read_bytes()
        assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (blob.size, blob.digest)
    assert manifest["config"]["digest"] == config_blob.digest
    assert [item["digest"] for item in manifest["layers"]] == [layer_blob.digest]
    config = json.loads(config_blob.path.read_text())
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert gzip.decompress(layer_blob.path.read_bytes()) == layer


def test_a_layer_keeps_modes_and_links(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(oci.layer_tar(_root(tmp_path / "root")))) as tar:
        members = {member.name: member for member in tar}

    assert members["app/run"].mode == 0o755
    assert members["app/link"].linkname == "run"
    assert {member.mtime for member in members.values()} == {0}


def test_what_was_built_is_read_again(tmp_path: Path) -> None:
    image = oci.build(tmp_path, [oci.layer_tar(_root(tmp_path / "root"))], {})

    assert oci.read(tmp_path) == image


def test_an_index_carries_annotations_over_its_image(tmp_path: Path) -> None:
    image = oci.build(tmp_path, [], {})
    index = json.loads(oci.index(tmp_path, image, {"a": "b"}).path.read_text())

    assert index["annotations"] == {"a": "b"}
    assert index["manifests"][0]["digest"] == image.digest


def test_an_extended_image_is_the_base_with_one_more_layer(tmp_path: Path) -> None:
    base_folder, folder = tmp_path / "base", tmp_path / "extended"
    base_folder.mkdir()
    folder.mkdir()
    base = oci.build(base_folder, [oci.layer_tar(_root(tmp_path / "root"))], {"User": "1000"})
    base_manifest = json.loads(base.manifest.path.read_text())
    base_config = json.loads(base.blobs[0].path.read_text())
    image = oci.extend(folder, base_manifest, base_config | {"history": [{}]}, b"layer")

    manifest = json.loads(image.manifest.path.read_text())
    config = json.loads(image.blobs[0].path.read_text())
    assert manifest["layers"][:-1] == base_manifest["layers"]
    assert config["config"] == {"User": "1000"}
    assert config["rootfs"]["diff_ids"][:-1] == base_config["rootfs"]["diff_ids"]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    assert "history" not in config
