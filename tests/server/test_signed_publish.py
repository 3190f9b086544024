"""A stored archive published by the server itself: signed by the same key, and removed with its signature."""

from pathlib import Path

import pytest

from ksnap.model.digest import parse_digest
from ksnap.model.image import parse_image
from ksnap.oci.signature import signature_tag
from ksnap.oci.signing_keys import parse_public_keys
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from ksnap.registry.signatures import verified_claims
from tests.parties.registry import PASSWORD, USERNAME, needs_registry, start_registry
from tests.parties.server import running_server
from tests.server.client import Client, open_client
from tests.server.seeded import seed


async def configure(client: Client, host: str, ca: str) -> None:
    registry = {"name": "images", "url": host, "username": USERNAME, "password": PASSWORD, "ca_cert": ca}
    assert (await client.post("/config/registry/create", registry)).status == 200
    cluster = {"name": "dev", "api_server_url": "https://c.example", "auth_type": "token", "token": "t"}
    assert (await client.post("/config/clusters/create", cluster)).status == 200


@needs_registry
@pytest.mark.timeout(240)
async def test_what_the_server_pushes_is_signed_and_its_deletion_leaves_nothing(tmp_path: Path) -> None:
    seeded = await seed(tmp_path / "data", checkpoints=1)
    with start_registry(tmp_path / "registry") as registry, running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client, open_registry(registry.access) as reader:
            await configure(client, registry.host, registry.certificate.ca_pem)
            trusted = parse_public_keys((await client.get("/config/signing/public-key")).body["public_key"])
            body = {
                "pod_name": "web-0",
                "checkpoint_name": seeded.ids[0],
                "checkpoint_config_name": "images",
                "username": "ann",
            }
            pushed = [
                (await client.post("/registry/create_and_push_checkpoint_container", body)).body for _ in range(2)
            ]
            digest, repository = parse_digest(pushed[0]["digest"]), parse_image(pushed[0]["image_tag"]).repository
            assert pushed[1]["digest"] == digest
            claims = await verified_claims(reader, repository, digest, trusted)
            assert (claims.key.cluster, claims.key.namespace, claims.key.owner) == ("dev", "shop", "Deployment/web")
            answer = await client.delete(f"/checkpoint/{seeded.ids[0]}")
            assert answer.status == 200, answer.body
            assert await Manifests(reader, repository).head(signature_tag(digest)) is None
        root = registry.folder / "docker/registry/v2/repositories" / repository
        left = [*root.glob("_manifests/revisions/sha256/*/link"), *root.glob("_layers/sha256/*/link")]
        assert left == []
