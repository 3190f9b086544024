"""POST /registry/create_and_push_checkpoint_container: a stored checkpoint into a real registry, and each refusal.

The checkpoints' cluster was never configured here, as after its deletion: they are pushed all the same.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.parties.fault_proxy import Answer as ProxyAnswer
from tests.parties.fault_proxy import Fault, FaultProxy, Hang, fault_proxy
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, needs_registry
from tests.parties.server import RunningServer, running_server
from tests.server.client import Answer, Client, fresh, open_client
from tests.server.seeded import Left, Seeded, Variety, seed_variety

pytestmark = [needs_registry, pytest.mark.timeout(120)]
PUSH = "/registry/create_and_push_checkpoint_container"


@pytest.fixture(scope="module")
def server(left: Left) -> RunningServer:
    return left.server


@pytest.fixture(scope="module")
def stored(registry: RunningRegistry) -> dict[str, object]:
    return {
        "url": f"{registry.url}/team",
        "username": USERNAME,
        "password": PASSWORD,
        "ca_cert": registry.certificate.ca_pem,
    }


@pytest.fixture
async def name(admin: Client, stored: dict[str, object]) -> str:
    """A registry's configuration that a test has for itself. It stays: images lie there."""
    name = fresh("registry")
    assert (await admin.post("/config/registry/create", {"name": name, **stored})).status == 200
    return name


def body(variety: Variety, registry: str, **change: object) -> dict[str, object]:
    given = {"pod_name": variety.pod, "checkpoint_name": variety.filename, "checkpoint_config_name": registry}
    return {**given, **change}


async def pushed(admin: Client, wanted: dict[str, object]) -> dict[str, Any]:
    answer = await admin.post(PUSH, wanted)
    assert answer.status == 200, answer.text
    assert answer.body["success"] is True
    found: dict[str, Any] = answer.body
    return found


async def test_each_name_of_a_checkpoint_finds_it(
    admin: Client, seeded: Seeded, variety: Variety, name: str, registry: RunningRegistry
) -> None:
    """The file name, the same without `.tar`, the id; the image's name is then the generated one."""
    stem = variety.filename.removesuffix(".tar")
    found = [
        await pushed(admin, body(variety, name, checkpoint_name=each))
        for each in (variety.filename, stem, seeded.ids[0])
    ]
    assert {each["checkpoint_id"] for each in found} == {seeded.ids[0]}
    assert len({each["digest"] for each in found}) == 1
    assert all(each["image_tag"].startswith(f"{registry.host}/team/snap_images/") for each in found)


async def test_another_text_is_the_images_name(
    admin: Client, seeded: Seeded, variety: Variety, name: str, registry: RunningRegistry
) -> None:
    found = await pushed(admin, body(variety, name, checkpoint_name="Test-App-Checkpoint"))
    assert found["checkpoint_id"] == seeded.ids[0]
    assert found["image_tag"] == f"{registry.host}/team/test-app-checkpoint:{seeded.ids[0]}"


async def test_the_username_is_recorded_and_the_digest_is_the_same_under_every_one(
    admin: Client, seeded: Seeded, variety: Variety, name: str
) -> None:
    digests = set()
    for owner in ("ann", "bob", ""):
        digests.add((await pushed(admin, body(variety, name, username=owner)))["digest"])
        shown = await admin.get(f"/checkpoint/{seeded.ids[0]}")
        assert shown.body["owner_label"] == (owner or "bob")
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"checkpoint_name": ""}, "checkpoint_name"),
        ({"checkpoint_name": "foo bar"}, "checkpoint_name"),
        ({"checkpoint_name": "../x"}, "checkpoint_name"),
        ({"checkpoint_name": "x" * 300}, "checkpoint_name"),
        ({"checkpoint_name": "x" * 601}, "checkpoint_name"),
        ({"checkpoint_name": None}, "checkpoint_name"),
        ({"pod_name": "../x"}, "pod_name"),
        ({"checkpoint_config_name": "Upper"}, "checkpoint_config_name"),
        ({"checkpoint_config_name": None}, "checkpoint_config_name"),
        ({"username": 1}, "username"),
    ],
)
async def test_a_bad_field_is_named(
    admin: Client, variety: Variety, name: str, change: dict[str, object], field: str
) -> None:
    answer = await admin.post(PUSH, body(variety, name, **change))
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert field in answer.details


async def test_a_long_name_is_a_name_like_any_other(admin: Client, variety: Variety, name: str) -> None:
    """File names have up to 600 characters."""
    answer = await admin.post(PUSH, body(variety, name, pod_name="nobody", checkpoint_name="x" * 600))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_what_is_not_there_is_not_found(admin: Client, variety: Variety, name: str) -> None:
    for wanted in (
        body(variety, name, pod_name="nobody"),
        body(variety, name, pod_name="busy"),
        body(variety, name, pod_name="broken"),
        body(variety, fresh("absent")),
    ):
        answer = await admin.post(PUSH, wanted)
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), wanted


async def test_default_is_none_where_several_could_be_meant(
    admin: Client, variety: Variety, name: str, stored: dict[str, object]
) -> None:
    await admin.post("/config/registry/create", {"name": fresh("second"), **stored})
    answer = await admin.post(PUSH, body(variety, "default"))
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert "checkpoint_config_name" in answer.details


async def test_a_registry_called_default_is_the_default(
    admin: Client, variety: Variety, name: str, stored: dict[str, object]
) -> None:
    assert (await admin.post("/config/registry/create", {"name": "default", **stored})).status == 200
    assert (await pushed(admin, body(variety, "default")))["digest"]


async def test_the_only_registry_is_the_default_of_a_cluster_that_is_gone(
    stored: dict[str, object], tmp_path: Path
) -> None:
    _, variety = await seed_variety(tmp_path / "data")
    with running_server(tmp_path / "data") as server:
        async with open_client(server.url, server.token) as client:
            none = await client.post(PUSH, body(variety, "default"))
            assert (none.status, none.code) == (422, "VALIDATION_ERROR")
            await client.post("/config/registry/create", {"name": "only", **stored})
            assert (await pushed(client, body(variety, "default")))["digest"]


async def test_a_registry_that_does_not_answer(admin: Client, variety: Variety) -> None:
    name = fresh("away")
    await admin.post("/config/registry/create", {"name": name, "url": "http://127.0.0.1:1"})
    answer = await admin.post(PUSH, body(variety, name))
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")


async def test_refused_credentials(admin: Client, variety: Variety, stored: dict[str, object]) -> None:
    name = fresh("refused")
    await admin.post("/config/registry/create", {"name": name, **stored, "password": "wrong"})
    answer = await admin.post(PUSH, body(variety, name))
    assert (answer.status, answer.code) == (502, "REGISTRY_CONNECTION_FAILED")
    assert PASSWORD not in answer.text


@asynccontextmanager
async def proxied(admin: Client, registry: RunningRegistry) -> AsyncIterator[tuple[FaultProxy, str]]:
    """A proxy before the registry, and the configuration that leads there."""
    context = registry.certificate.client_context()
    async with fault_proxy(registry.url, tls=registry.certificate, upstream_tls=context) as proxy:
        name = fresh("proxied")
        new = {"url": proxy.host, "username": USERNAME, "password": PASSWORD, "ca_cert": registry.certificate.ca_pem}
        assert (await admin.post("/config/registry/create", {"name": name, **new})).status == 200
        yield proxy, name


async def test_a_push_that_is_refused(admin: Client, variety: Variety, registry: RunningRegistry) -> None:
    async with proxied(admin, registry) as (proxy, name):
        proxy.add(Fault("POST", "/blobs/uploads/", ProxyAnswer(403), times=None))
        proxy.add(Fault("PUT", "/manifests/", ProxyAnswer(403), times=None))
        answer = await admin.post(PUSH, body(variety, name, checkpoint_name="refused"))
        assert (answer.status, answer.code) == (502, "IMAGE_PUSH_FAILED")
        # Nothing lies there: the configuration may go.
        assert (await admin.delete("/config/registry/delete", {"name": name})).status == 200


async def test_what_a_running_push_needs_stays_until_it_is_cancelled(
    admin: Client, seeded: Seeded, variety: Variety, registry: RunningRegistry
) -> None:
    """The checkpoint, the registry, its address, the cluster; and a push that hangs can be cancelled."""
    cluster = {"name": "dev", "api_server_url": "https://c.example", "token": "t"}
    assert (await admin.post("/config/clusters/create", cluster)).status == 200
    async with proxied(admin, registry) as (proxy, name):
        proxy.add(Fault("POST", "/blobs/uploads/", Hang(), times=None))
        proxy.add(Fault("PUT", "/manifests/", Hang(), times=None))
        started = await admin.post(PUSH, body(variety, name, checkpoint_name="hanging"), params={"wait": "false"})
        assert (started.status, started.body["status"]) == (200, "running"), started.text
        for answer in (
            await admin.delete(f"/checkpoint/{seeded.ids[0]}"),
            await admin.delete("/config/registry/delete", {"name": name}),
            await admin.put("/config/registry/update", {"name": name, "url": registry.host}),
            await admin.delete("/config/clusters/delete", {"name": "dev"}),
        ):
            assert (answer.status, answer.code) == (409, "CONFLICT")
            assert started.body["job_id"] in answer.details
        cancelled = await admin.post(f"/checkpoint/{seeded.ids[0]}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert (await admin.delete("/config/clusters/delete", {"name": "dev"})).status == 200
        assert (await admin.delete("/config/registry/delete", {"name": name})).status == 200


async def test_a_registry_stays_where_it_is_while_an_image_lies_there(
    admin: Client, seeded: Seeded, variety: Variety, name: str, stored: dict[str, object]
) -> None:
    """Also when the checkpoint was pushed elsewhere since: its deletion removes both images."""
    await pushed(admin, body(variety, name, checkpoint_name="first"))
    for _ in range(2):
        for answer in (
            await admin.delete("/config/registry/delete", {"name": name}),
            await admin.put("/config/registry/update", {"name": name, "url": "elsewhere.example"}),
        ):
            assert (answer.status, answer.code) == (409, "CONFLICT")
            assert seeded.ids[0] in answer.details
        other = fresh("other")
        await admin.post("/config/registry/create", {"name": other, **stored})
        await pushed(admin, body(variety, other, checkpoint_name="second"))
    same_host = {"name": name, "url": stored["url"], "verify_ssl": True}
    assert (await admin.put("/config/registry/update", same_host)).status == 200


async def test_two_at_once_give_one_digest(admin: Client, variety: Variety, name: str) -> None:
    wanted = body(variety, name, checkpoint_name="twice")
    answers: list[Answer] = await asyncio.gather(*(admin.post(PUSH, wanted) for _ in range(2)))
    assert [each.status for each in answers] == [200, 200]
    assert len({each.body["digest"] for each in answers}) == 1
