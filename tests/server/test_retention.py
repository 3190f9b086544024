"""Policies, pins, rounds and garbage over HTTP and by command line, on what an earlier server process left."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from ksnap.model.image import parse_image
from ksnap.registry.client import open_registry
from ksnap.registry.manifests import Manifests
from ksnap.settings import ServerSettings
from ksnap.store.database import open_database
from ksnap.store.tables import Checkpoint
from tests.parties.registry import needs_registry, start_registry
from tests.parties.server import ADMIN_PASSWORD, running_server
from tests.server.client import Client, open_client
from tests.server.person import Person
from tests.server.seeded import Seeded, seed
from tests.server.test_signed_publish import configure

pytestmark = pytest.mark.timeout(240)
LONG_S = 60.0


@pytest.fixture
async def seeded(tmp_path: Path) -> Seeded:
    return await seed(tmp_path / "data", checkpoints=5)


@pytest.fixture
async def admin(tmp_path: Path, seeded: Seeded) -> AsyncIterator[Client]:
    with running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client:
            yield client


async def listed(client: Client) -> list[str]:
    return [each["id"] for each in (await client.get("/checkpoint/list")).body["checkpoints"]]


async def ended(client: Client, round_id: int) -> dict[str, Any]:
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        found: dict[str, Any] = (await client.get(f"/retention/rounds/{round_id}")).body
        if found["ended_at"] is not None:
            return found
        await asyncio.sleep(0.1)
    raise TimeoutError


async def test_a_round_deletes_what_no_policy_keeps(admin: Client, seeded: Seeded) -> None:
    assert (await admin.put("/retention/policies/few", {"keep_last": 2})).status == 200
    assert (await admin.put(f"/checkpoint/{seeded.ids[4]}/pin")).status == 200
    planned = (await admin.post("/retention/run", params={"dry_run": "true"})).body
    assert [each["checkpoint_id"] for each in planned["deletions"]] == [seeded.ids[3], seeded.ids[2]]
    assert {each["outcome"] for each in planned["deletions"]} == {"planned"}
    assert await listed(admin) == seeded.ids, "a dry run does nothing"
    begun = (await admin.post("/retention/run")).body
    report = await ended(admin, begun["id"])
    assert [(each["checkpoint_id"], each["outcome"], each["reason"]) for each in report["deletions"]] == [
        (seeded.ids[3], "deleted", "count"),
        (seeded.ids[2], "deleted", "count"),
    ]
    assert await listed(admin) == [seeded.ids[0], seeded.ids[1], seeded.ids[4]]
    assert (await admin.get(f"/checkpoint/{seeded.ids[4]}")).body["pinned"] is True
    assert (await admin.get("/retention/rounds")).body["rounds"][0]["id"] == begun["id"]


async def test_rounds_come_by_themselves(tmp_path: Path, seeded: Seeded) -> None:
    with running_server(tmp_path / "data", {"KSNAP_RETENTION_INTERVAL_S": "10"}) as server:
        async with open_client(server.url, server.token) as client:
            assert (await client.put("/retention/policies/old", {"max_age_s": 86400})).status == 200
            async with asyncio.timeout(LONG_S):
                while True:
                    rounds = (await client.get("/retention/rounds")).body["rounds"]
                    if any(each["ended_at"] for each in rounds):
                        break
                    await asyncio.sleep(0.5)
            assert await listed(client) == [seeded.ids[0]], "the newest stays, though it is old as well"
            jobs = (await client.get("/jobs", params={"kind": "delete"})).body["jobs"]
            assert {each["started_by"] for each in jobs} == {"retention:policies"}


async def test_refusals(admin: Client) -> None:
    assert (await admin.put("/retention/policies/none", {"per": "cluster"})).status == 422
    assert (await admin.put("/retention/policies/none", {"keep_last": -1})).status == 422
    assert (await admin.put("/retention/policies/none", {"keep_last": 1, "owner": "web"})).status == 422
    assert (await admin.delete("/retention/policies/none")).status == 404
    assert (await admin.put(f"/checkpoint/{'0' * 20}/pin")).status == 404
    assert (await admin.get("/retention/rounds/77")).status == 404


async def test_an_archive_that_nobody_names(tmp_path: Path, seeded: Seeded, admin: Client) -> None:
    """An old one is found and removed; one of today may be in the making, and the checkpoint's own stays."""
    folder = tmp_path / "data" / "blobs" / "archives"
    old, young, own = (folder / f"{name}.tar.zst" for name in ("0" * 20, "1" * 20, seeded.ids[0]))
    long_ago = time.time() - 2 * 86400
    old.write_bytes(b"left")
    young.write_bytes(b"left")
    os.utime(old, (long_ago, long_ago))
    os.utime(own, (long_ago, long_ago))
    found = (await admin.get("/retention/garbage")).body
    assert [each["name"] for each in found["garbage"]] == [f"archives/{old.name}"]
    assert old.exists(), "looking removes nothing"
    removed = (await admin.delete("/retention/garbage")).body
    assert (removed["garbage"], removed["problems"]) == (found["garbage"], [])
    assert [each.exists() for each in (old, young, own)] == [False, True, True]


@needs_registry
async def test_an_image_that_nobody_names(tmp_path: Path, seeded: Seeded) -> None:
    """Its record is gone, as after a database was put back to an earlier day."""
    with start_registry(tmp_path / "registry") as registry:
        body = {"checkpoint_config_name": "images", "username": "ann", "checkpoint_name": seeded.ids[0]}
        with running_server(tmp_path / "data") as server:
            async with open_client(server.url, server.token) as client:
                await configure(client, registry.host, registry.certificate.ca_pem)
                path = "/registry/create_and_push_checkpoint_container"
                pushed = await client.post(path, {**body, "pod_name": "web-4"})
                assert pushed.status == 200, pushed
                assert (await client.get("/retention/garbage")).body == {"garbage": [], "problems": []}
        await _forget(tmp_path / "data", seeded.ids[0])
        image, digest = parse_image(pushed.body["image_tag"]), pushed.body["digest"]
        with running_server(tmp_path / "data") as server:
            async with open_client(server.url, server.token) as client, open_registry(registry.access) as reader:
                found = (await client.get("/retention/garbage")).body["garbage"]
                images = [each["name"] for each in found if each["kind"] == "image"]
                assert images == [f"{image.host}/{image.repository}@{digest}"]
                assert (await client.delete("/retention/garbage")).body["problems"] == []
                assert await Manifests(reader, image.repository).head(digest) is None
                left = (await client.get("/retention/garbage")).body["garbage"]
                assert [each for each in left if each["kind"] == "image"] == []


async def _forget(data_dir: Path, checkpoint_id: str) -> None:
    database = open_database(ServerSettings(data_dir=data_dir).resolved_database_url, timeout_s=5.0)
    try:
        async with database.writing() as session:
            await session.execute(delete(Checkpoint).where(Checkpoint.id == checkpoint_id))
    finally:
        await database.close()


def test_by_command_line(tmp_path: Path) -> None:
    seeded = asyncio.run(seed(tmp_path / "data", checkpoints=5))
    with running_server(tmp_path / "data") as server:
        person = Person(tmp_path, server.url)
        assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
        assert "No policy" in person.ksnap("retention", "list").err
        done = person.ksnap("retention", "set", "few", "--keep-last", "1", "--max-age", "30d", "--max-size", "5G")
        assert done.code == 0, done
        shown = person.ksnap("retention", "list").out
        assert "30d" in shown
        assert "5.0 GB" in shown
        assert person.ksnap("checkpoint", "pin", seeded.ids[2]).code == 0
        assert person.ksnap("retention", "run", "--dry-run").out.count("planned") == 3
        assert person.ksnap("retention", "run").out.count("deleted") == 3
        assert person.ksnap("retention", "report").out.count("deleted") == 3
        bad = person.ksnap("retention", "set", "few", "--max-age", "soon")
        assert (bad.code != 0, "--max-age" in bad.err) == (True, True)
        assert person.ksnap("retention", "remove", "few").code == 0
        assert "There is none" in person.ksnap("retention", "garbage").err
