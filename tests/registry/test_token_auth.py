"""The real registry with Bearer tokens: each request gets a token of just the scope it needs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ksnap.agent.publish import push_archive
from ksnap.errors import RegistryConnectionFailed
from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import open_registry
from ksnap.registry.image_push import ImageTarget, undo_push
from ksnap.registry.image_read import find_layer
from ksnap.registry.manifests import Manifests
from tests.parties.archives import write_archive
from tests.parties.certificates import issue_certificate
from tests.parties.registry import PASSWORD, USERNAME, needs_registry, start_registry
from tests.parties.token_service import TokenService, token_service, token_settings

pytestmark = needs_registry


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[tuple[TokenService, RegistryAccess]]:
    """A token service and the registry that trusts it, with an account."""
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    certificate = issue_certificate(tokens)
    async with token_service(certificate, username=USERNAME, password=PASSWORD) as running:
        settings = token_settings(certificate, running.url)
        with start_registry(tmp_path / "registry", password=False, settings=settings) as registry:
            access = registry.access.model_copy(
                update={
                    "username": USERNAME,
                    "password": SecretStr(PASSWORD),
                    "ca_cert": registry.access.ca_cert + certificate.ca_pem,
                }
            )
            yield running, access


async def test_push_read_and_undo(service: tuple[TokenService, RegistryAccess], tmp_path: Path) -> None:
    running, access = service
    archive = tmp_path / "checkpoint.tar"
    write_archive(archive, 3 << 20)
    target = ImageTarget("snap/x", "one", {}, "amd64", datetime.now(UTC))
    facts, image = await push_archive(archive, registry=access, target=target)
    async with open_registry(access) as client:
        assert (await find_layer(client, "snap/x", "one")).digest == facts.compressed_digest
        await undo_push(client, "snap/x", blobs=image.blobs, manifests=[image.manifest_digest, image.digest])
        assert await Manifests(client, "snap/x").head("one") is None
    # The registry's challenge names several rights in no order: they come out of a Go map.
    asked = {"".join(sorted(scope.rpartition(":")[2].split(","))) for scopes in running.scopes for scope in scopes}
    assert asked == {"pullpush", "pull", "delete"}
    assert {scope.rpartition(":")[0] for scopes in running.scopes for scope in scopes} == {"repository:snap/x"}
    assert set(running.accounts) == {USERNAME}


async def test_tokens_are_used_again_until_they_end(service: tuple[TokenService, RegistryAccess]) -> None:
    running, access = service
    async with open_registry(access) as client:
        manifests = Manifests(client, "snap/x")
        for _ in range(3):
            assert await manifests.head("none") is None
    assert len(running.scopes) == 1


async def test_a_wrong_password_is_said(service: tuple[TokenService, RegistryAccess]) -> None:
    _, access = service
    wrong = access.model_copy(update={"password": SecretStr("wrong")})
    async with open_registry(wrong) as client:
        with pytest.raises(RegistryConnectionFailed, match="refused the credentials") as caught:
            await client.ping()
    assert "401" in caught.value.details
