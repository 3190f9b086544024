"""Image documents: a function of the facts, in the form that the OCI specification and the runtimes want."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ksnap.errors import InvalidInput
from ksnap.model.checkpoint_image import ArchiveFacts
from ksnap.oci.checkpoint_image import INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE, CheckpointImage, build_image
from ksnap.oci.parse import checkpoint_layer, parse_index, parse_manifest

NAME = "org.criu.checkpoint.container.name"
FACTS = ArchiveFacts(
    size_bytes=2048,
    digest=f"sha256:{'a' * 64}",
    compressed_bytes=100,
    compressed_digest=f"sha256:{'b' * 64}",
    annotations={NAME: "webapp"},
)
CREATED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def image(facts: ArchiveFacts = FACTS, created: datetime = CREATED, architecture: str = "x86_64") -> CheckpointImage:
    return build_image(facts, annotations={"ksnap.dev/key": "k"}, architecture=architecture, created=created)


def test_digests_are_those_of_the_bytes() -> None:
    for document in (image().config, image().manifest, image().index):
        assert document.digest == "sha256:" + hashlib.sha256(document.data).hexdigest()


def test_documents_refer_to_each_other() -> None:
    built = image()
    index = parse_index(built.index.data)
    manifest = parse_manifest(built.manifest.data)
    assert [(m.media_type, m.digest, m.size) for m in index.manifests] == [
        (MANIFEST_TYPE, built.manifest.digest, len(built.manifest.data))
    ]
    assert manifest.config.digest == built.config.digest
    layer = checkpoint_layer(manifest)
    assert (layer.media_type, layer.digest, layer.size) == (LAYER_TYPE, FACTS.compressed_digest, 100)


def test_index_and_manifest_carry_all_annotations() -> None:
    built = image()
    wanted = {NAME: "webapp", "ksnap.dev/key": "k", "org.opencontainers.image.created": "2026-11-22T09:30:00Z"}
    assert parse_index(built.index.data).annotations == wanted
    assert parse_manifest(built.manifest.data).annotations == wanted


def test_the_archive_wins_over_the_caller() -> None:
    built = build_image(FACTS, annotations={NAME: "other"}, architecture="amd64", created=CREATED)
    assert parse_index(built.index.data).annotations[NAME] == "webapp"


def test_configuration_names_diff_id_and_platform() -> None:
    config = json.loads(image().config.data)
    assert config["rootfs"] == {"type": "layers", "diff_ids": [FACTS.digest]}
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    (platform,) = (m["platform"] for m in json.loads(image(architecture="aarch64").index.data)["manifests"])
    assert platform == {"architecture": "arm64", "os": "linux"}
    assert json.loads(image().index.data)["mediaType"] == INDEX_TYPE


def test_the_same_facts_give_the_same_bytes() -> None:
    elsewhere = CREATED.astimezone(timezone(timedelta(hours=5)))
    assert image(created=elsewhere) == image()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput):
        image(architecture="../x")
    with pytest.raises(InvalidInput):
        image(FACTS.model_copy(update={"digest": "sha256:x"}))
    with pytest.raises(InvalidInput):
        image(FACTS.model_copy(update={"annotations": {"a": "x" * (1 << 21)}}))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"manifests": {}}', b'{"manifests": [{}]}', b'{"mediaType": "x", "manifests": []}',
     b'{"manifests": [{"mediaType": "x", "digest": "sha256:1", "size": 1}]}', b"[" * 100_000],
)  # fmt: skip
def test_foreign_indexes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_index(data)


def test_an_ordinary_image_is_no_checkpoint() -> None:
    data = json.loads(image().manifest.data)
    data["layers"] *= 2
    with pytest.raises(InvalidInput):
        checkpoint_layer(parse_manifest(json.dumps(data).encode()))
