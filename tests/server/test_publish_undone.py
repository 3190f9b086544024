"""A push that is cancelled after the server was killed in it: the registry has what it had before, and no more."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parties.fault_proxy import Fault, FaultProxy, Hang, fault_proxy
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, needs_registry, start_registry
from tests.parties.server import running_server
from tests.server.client import Client, open_client
from tests.server.seeded import Seeded, seed

pytestmark = [needs_registry, pytest.mark.timeout(240)]
PUSH = "/registry/create_and_push_checkpoint_container"


@dataclass
class Confirming(Fault):
    """The question that follows the tag's PUT."""

    tagged: bool = False

    def takes(self, method: str, path: str) -> bool:
        self.tagged = self.tagged or (method == "PUT" and "/manifests/" in path and "sha256:" not in path)
        return self.tagged and super().takes(method, path)


def confirming() -> Confirming:
    return Confirming("HEAD", "/manifests/sha256:", Hang())


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[tuple[FaultProxy, RunningRegistry]]:
    with start_registry(tmp_path / "registry") as registry:
        tls = registry.certificate
        async with fault_proxy(registry.url, tls=tls, upstream_tls=tls.client_context()) as running:
            yield running, registry


async def configure(client: Client, host: str, ca: str) -> None:
    account = {"username": USERNAME, "password": PASSWORD, "ca_cert": ca}
    assert (await client.post("/config/registry/create", {"name": "images", "url": host, **account})).status == 200
    cluster = {"name": "dev", "api_server_url": "https://c.example", "auth_type": "token", "token": "t"}
    assert (await client.post("/config/clusters/create", cluster)).status == 200


def body(seeded: Seeded, owner: str) -> dict[str, str]:
    return {
        "pod_name": "web-0",
        "checkpoint_name": seeded.ids[0],
        "checkpoint_config_name": "images",
        "username": owner,
    }


def links(registry: RunningRegistry) -> list[str]:
    """Everything that any repository names: tags, manifests, blobs."""
    root = registry.folder / "docker/registry/v2/repositories"
    return sorted(str(each.relative_to(root)) for each in root.rglob("link"))


async def met(fault: Fault) -> None:
    async with asyncio.timeout(40):
        while not fault.met:  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_cancelled_push_takes_out_what_a_killed_server_had_put_in(
    proxy: tuple[FaultProxy, RunningRegistry],
    tmp_path: Path,
    is_first: bool,  # noqa: FBT001
) -> None:
    """Where another image of the checkpoint is there already, that one stays whole."""
    faulty, registry = proxy
    seeded = await seed(tmp_path / "data", checkpoints=1)
    with running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client:
            await configure(client, faulty.host, registry.certificate.ca_pem)
            if not is_first:
                assert (await client.post(PUSH, body(seeded, "ann"))).status == 200
            before = [each for each in links(registry) if "/tags/" not in each]
            held = faulty.add(confirming())
            job = (await client.post(f"{PUSH}?wait=false", body(seeded, "bob"))).body["job_id"]
            await met(held)
            assert [each for each in links(registry) if "/tags/" in each] != []
            server.process.kill()
    held = faulty.add(confirming())
    with running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client:
            await met(held)
            ended = (await client.post(f"/jobs/{job}/cancel")).body
            assert ended["status"] == "cancelled"
            assert "could be removed" not in ended["error"]["details"]
            row = (await client.get(f"/checkpoint/{seeded.ids[0]}")).body
            faulty.release()
            assert (row["status"], row["image"] is None) == ("completed", is_first)
            assert [each for each in links(registry) if "/tags/" not in each] == before
