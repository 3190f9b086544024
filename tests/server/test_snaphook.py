"""Hooks over HTTP: what is stored, what is refused, and what is served on the hooks' own port."""

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from ksnap.hooks.certificates import new_authority, new_leaf
from ksnap.hooks.keeper import hosts_of
from ksnap.hooks.records import Hook, HookRecords, HookState
from ksnap.settings import ServerSettings
from ksnap.store.database import open_database
from ksnap.store.encryption import open_vault
from ksnap.store.tables import Cluster, SnapHook
from tests.parties.server import RunningServer, running_server
from tests.server.client import Client, fresh, open_client
from tests.server.seeded import seed

pytestmark = pytest.mark.timeout(240)
WAIT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Here:
    """Where hooks are served, and what the server runs on."""

    port: int
    data_dir: Path
    settings: dict[str, str]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    port = free_port()
    data_dir = tmp_path_factory.mktemp("hooks") / "data"
    settings = {"KSNAP_HOOK_HOST": "127.0.0.1", "KSNAP_HOOK_PORT": str(port), "KSNAP_HOOK_ADDRESS": "127.0.0.1"}
    return Here(port, data_dir, settings)


@pytest.fixture(scope="module")
def server(here: Here) -> Iterator[RunningServer]:
    with running_server(here.data_dir, here.settings) as running:
        yield running


async def test_a_hook_is_stored_with_a_certificate_and_not_started(admin: Client, name: str, here: Here) -> None:
    hook = fresh("hook")
    made = await admin.post("/snaphook", {"name": hook, "cluster_name": name, "wait_s": 5})
    url = f"https://127.0.0.1:{here.port}/mutate/{hook}"
    assert made.status == 200
    assert made.body["certificate_expires_at"].endswith("Z")
    assert {**made.body, "certificate_expires_at": ""} == {
        "name": hook, "cluster_name": name, "webhook_url": url, "namespace": "snap", "is_running": False,
        "cert_expiry_days": 365, "wait_s": 5, "max_age_s": 0, "image_pull_secrets": [], "certificate_expires_at": "",
        "status": {
            "cluster_name": name, "namespace": "snap", "webhook_url": url, "is_running": False,
            "certificate_generated": True, "certificate_expiry_days": 365, "https_server_port": here.port,
        },
    }  # fmt: skip
    for path in (f"/snaphook/{hook}", f"/snaphook/{hook}/status"):
        assert (await admin.get(path)).body == made.body
    listed = (await admin.get("/snaphook/list")).body
    assert made.body in listed["snaphooks"]
    assert listed["success"] is True
    assert (await admin.delete(f"/snaphook/{hook}")).body["success"] is True
    assert (await admin.get(f"/snaphook/{hook}")).status == 404


async def test_what_does_not_fit_is_refused(admin: Client, name: str) -> None:
    hook = fresh("hook")
    path = f"https://hooks.example:8443/{hook}"
    base = {"name": hook, "cluster_name": name, "webhook_url": path}
    assert (await admin.post("/snaphook", base)).status == 200
    again = await admin.post("/snaphook", {**base, "webhook_url": path + "/2"})
    assert (again.status, again.code) == (409, "ALREADY_EXISTS")
    same_path = await admin.post("/snaphook", {**base, "name": fresh("hook")})
    assert (same_path.status, same_path.code) == (409, "CONFLICT")
    used = await admin.delete("/config/clusters/delete", {"name": name})
    assert (used.code, hook in used.details) == ("CONFLICT", True)
    await admin.delete(f"/snaphook/{hook}")
    for fields, code in (
        ({"cluster_name": "nowhere"}, "CLUSTER_NOT_FOUND"),
        ({"webhook_url": "http://hooks.example/x"}, "VALIDATION_ERROR"),
        ({"webhook_url": "https://hooks.example/x?y=1"}, "VALIDATION_ERROR"),
        ({"webhook_url": "https://hooks.example/x#y"}, "VALIDATION_ERROR"),
        ({"webhook_url": "https://u:p@hooks.example/x"}, "VALIDATION_ERROR"),
        ({"name": "list"}, "VALIDATION_ERROR"),
        ({"cert_expiry_days": 0}, "VALIDATION_ERROR"),
        ({"cert_expiry_days": 3651}, "VALIDATION_ERROR"),
        ({"wait_s": 26}, "VALIDATION_ERROR"),
        ({"cluster_config": {"api_server_url": "https://other.example"}}, "VALIDATION_ERROR"),
    ):
        assert (await admin.post("/snaphook", {**base, **fields})).code == code, fields
    for method, rest in (("POST", "/start"), ("POST", "/stop"), ("DELETE", ""), ("GET", "/test-connectivity")):
        assert (await admin.call(method, f"/snaphook/nothing{rest}")).code == "NOT_FOUND", rest


async def test_a_cluster_that_is_away_gets_no_hook_and_keeps_none_back(admin: Client, name: str) -> None:
    hook = fresh("hook")
    await admin.post("/snaphook", {"name": hook, "cluster_name": name})
    started = await admin.post(f"/snaphook/{hook}/start")
    assert (started.status, started.code) == (502, "CLUSTER_CONNECTION_FAILED")
    assert (await admin.get(f"/snaphook/{hook}")).body["is_running"] is False
    assert (await admin.post(f"/snaphook/{hook}/stop")).status == 200, "it is stopped already"
    assert (await admin.delete(f"/snaphook/{hook}")).status == 200


async def test_a_certificate_is_for_its_names_and_renewed_on_request(
    admin: Client, name: str, server: RunningServer, here: Here
) -> None:
    hook = fresh("hook")
    url = f"https://hooks.example/{hook}"
    body = {"name": hook, "cluster_name": name, "webhook_url": url, "namespace": "ops", "cert_expiry_days": 20}
    await admin.post("/snaphook", body)
    first = await stored(here, SnapHook, hook)
    names = x509.load_pem_x509_certificate(first.certificate_pem.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {"hooks.example", "snaphook.ops.svc"} <= set(names.value.get_values_for_type(x509.DNSName))
    assert (await admin.post(f"/snaphook/{hook}/renew-certificates")).status == 200
    second = await stored(here, SnapHook, hook)
    assert second.certificate_version == first.certificate_version + 1
    assert second.certificate_pem != first.certificate_pem
    assert b"PRIVATE KEY" not in second.key_encrypted
    assert "PRIVATE KEY" not in "".join(server.log)
    await admin.delete(f"/snaphook/{hook}")


async def stored(here: Here, table: Any, key: str) -> Any:
    database = open_database(ServerSettings(data_dir=here.data_dir).resolved_database_url, timeout_s=5.0)
    try:
        async with database.reading() as session:
            return await session.get_one(table, key)
    finally:
        await database.close()


@dataclass(frozen=True, slots=True)
class Served:
    """A server that was told before its start that a hook runs; its cluster is away."""

    url: str
    bundle: ssl.SSLContext
    server: RunningServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A hook that runs is served from the start on, whether or not its cluster answers."""
    data_dir, port = tmp_path / "data", free_port()
    settings = {"KSNAP_HOOK_HOST": "127.0.0.1", "KSNAP_HOOK_PORT": str(port), "KSNAP_HOOK_ADDRESS": "127.0.0.1"}
    await seed(data_dir, checkpoints=1)
    bundle = await left_running(data_dir)
    with running_server(data_dir, settings) as server:
        context = ssl.create_default_context(cadata=bundle)
        url = f"https://127.0.0.1:{port}/mutate/one"
        await answering(url, context)
        yield Served(url, context, server)


async def left_running(data_dir: Path) -> str:
    """A running hook `one` of a cluster at which nobody answers, as an earlier process left it; its authority."""
    settings = ServerSettings(data_dir=data_dir)
    database = open_database(settings.resolved_database_url, timeout_s=5.0)
    records = HookRecords(database, open_vault(settings))
    now = datetime.now(UTC)
    authority = new_authority(now)
    try:
        token = records.vault.encrypt_text("t")
        row = Cluster(name="dev", api_server_url="https://127.0.0.1:1", auth_type="token", credentials_encrypted=token)
        row.created_at = now
        async with database.writing() as session:
            session.add(row)
        hook = Hook("one", "dev", "https://127.0.0.1/mutate/one", "snap", state=HookState.RUNNING)
        await records.create(hook)
        assert await records.put_authority(None, authority)
        leaf = new_leaf(authority, hosts_of(hook, [hook]), now, timedelta(days=1))
        assert await records.put_certificate(hook, leaf)
        assert not await records.put_certificate(hook, leaf), "it was changed since it was read"
        assert not await records.put_authority(None, authority)
    finally:
        await database.close()
    return authority.certificate_pem


async def answering(url: str, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url, ssl=context):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.1)


def review(uid: str, **fields: Any) -> dict[str, Any]:
    pod = {
        "metadata": {
            "generateName": "web-abc-", "labels": {"app": "web", "pod-template-hash": "abc", "ksnap.dev/snap": "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}],
        },
        "spec": {"containers": [{"name": "web", "image": "r/web:1"}]},
    }  # fmt: skip
    request = {"uid": uid, "operation": "CREATE", "namespace": "shop", "object": pod, **fields}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def test_the_port_answers_admissions_and_nothing_else(served: Served) -> None:
    async with aiohttp.ClientSession() as session:

        async def said(method: str, url: str, **options: Any) -> tuple[int, str]:
            async with session.request(method, url, ssl=served.bundle, **options) as response:
                return response.status, await response.text()

        status, text = await said("POST", served.url, json=review("u-1"))
        assert status == 200
        assert '"uid":"u-1"' in text
        assert '"allowed":true' in text
        assert "patch" not in text, "no node is known, so nothing can be restored"
        assert (await said("POST", served.url, data=b"{"))[0] == 400
        assert (await said("POST", served.url, json={"request": {}}))[0] == 400
        assert (await said("GET", served.url))[0] == 405
        assert (await said("POST", served.url + "x", json=review("u")))[0] == 404
        assert (await said("POST", served.url, data=io.BytesIO(b" " * (4 << 20) + b"{}")))[0] == 413
        odd = {"metadata": {"labels": {"ksnap.dev/snap": "true"}}, "spec": {"containers": "none"}}
        status, text = await said("POST", served.url, json=review("u-2", object={**odd, "metadata": 3}))
        assert (status, '"allowed":true' in text, "patch" in text) == (200, True, False), (
            "a fault of ours denies nothing"
        )
    async with open_client(served.server.url, served.server.token) as client:
        metrics = (await client.get("/metrics")).text
        assert 'ksnap_hook_admissions_total{hook="one",outcome="cold"} 1.0' in metrics
        assert 'ksnap_hook_admissions_total{hook="one",outcome="failed"} 1.0' in metrics
        assert 'ksnap_hook_admissions_total{hook="one",outcome="refused"} 3.0' in metrics


async def test_connectivity_is_told_of_a_cluster_that_is_away(served: Served) -> None:
    async with open_client(served.server.url, served.server.token) as client:
        found = await client.get("/snaphook/one/test-connectivity")
        assert (found.status, found.code) == (502, "CLUSTER_CONNECTION_FAILED")
        stopped = await client.post("/snaphook/one/stop")
        assert stopped.code == "CLUSTER_CONNECTION_FAILED", "its configuration may still be there"
        assert (await client.get("/snaphook/one")).body["is_running"] is True
        deleted = await client.delete("/snaphook/one")
        assert "snaphook-one-dev could not be removed" in deleted.body["message"]
        async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(served.url, ssl=served.bundle)
