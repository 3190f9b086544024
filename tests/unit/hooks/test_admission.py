"""The admission application as a server calls it, and the port's certificates at real handshakes."""

import asyncio
import json
import socket
import ssl
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ksnap.errors import Conflict
from ksnap.hooks.admission import Admission, AdmissionMetrics
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.certificates import new_authority, new_leaf
from ksnap.hooks.configuration import Webhook, differences
from ksnap.hooks.decision import Places
from ksnap.hooks.listener import Listener, context_of
from ksnap.hooks.records import Hook, HookState
from ksnap.model.checkpoint_key import CheckpointKey, slot_of
from ksnap.store.database import Database
from ksnap.store.tables import Checkpoint
from tests.unit.hooks.test_catalog import DIGEST, stored
from tests.unit.hooks.test_decision import RUNTIME, pod

NOW = datetime.now(UTC)
HOOK = Hook("one", "dev", "https://a.example/mutate/one", "snap", state=HookState.RUNNING)


KEY = CheckpointKey(
    "dev", "shop", "Deployment/web", "web", "app", "web:1", DIGEST, "5d7",
    slot_of("dev", {**pod(), "metadata": {**pod()["metadata"], "namespace": "shop"}}, "app",
            architecture=RUNTIME.architecture).environment_hash,
)  # fmt: skip


def made(catalog: Catalog) -> tuple[Admission, CollectorRegistry]:
    metrics, registry = AdmissionMetrics(), CollectorRegistry()
    metrics.register(registry)
    return Admission(catalog, lambda _cluster: Places((RUNTIME,)), metrics), registry


async def asked(admission: Admission, path: str = "/mutate/one") -> tuple[int, dict[str, Any]]:
    request = {"uid": "u", "operation": "CREATE", "namespace": "shop", "object": pod()}
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "request": request}).encode()
    parts: list[dict[str, Any]] = [{"body": body[:9], "more_body": True}, {"body": body[9:]}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", **parts.pop(0)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await admission({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]) if sent[0]["status"] == 200 else {}


async def test_a_pod_waits_for_a_checkpoint_in_the_making_only_if_the_hook_says_so(
    database: Database, catalog: Catalog
) -> None:
    coming = await stored(database, 1, status="running", image="", key=KEY)
    await catalog.look()
    admission, registry = made(catalog)
    admission.serve([HOOK])
    status, review = await asked(admission)
    assert (status, review["response"]) == (200, {"uid": "u", "allowed": True})

    admission.serve([replace(HOOK, wait_s=25)])
    waiting = asyncio.create_task(asked(admission))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    async with database.writing() as session:
        row = await session.get_one(Checkpoint, coming)
        row.status, row.image, row.image_digest = "completed", "i.example/web:t", DIGEST
    catalog.tell(coming)
    await catalog.look()
    patch = json.loads(b64decode((await asyncio.wait_for(waiting, 20))[1]["response"]["patch"]))
    assert {"op": "add", "path": "/spec/runtimeClassName", "value": "ksnap"} in patch
    outcomes = {
        each: registry.get_sample_value("ksnap_hook_admissions_total", {"hook": "one", "outcome": each})
        for each in ("cold", "runtime")
    }
    assert outcomes == {"cold": 1.0, "runtime": 1.0}


async def test_a_pod_that_has_waited_long_enough_starts_cold(database: Database, catalog: Catalog) -> None:
    await stored(database, 1, status="running", image="", key=KEY)
    await catalog.look()
    admission, _ = made(catalog)
    admission.serve([replace(HOOK, wait_s=1)])
    assert "patch" not in (await asked(admission))[1]["response"]


async def test_a_hook_that_is_no_longer_served_is_unknown(catalog: Catalog) -> None:
    admission, _ = made(catalog)
    assert (await asked(admission))[0] == 404
    admission.serve([HOOK])
    assert (await asked(admission, "/mutate/two"))[0] == 404
    assert (await asked(admission))[0] == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_port_shows_the_certificate_of_the_name_and_changes_it_at_once(catalog: Catalog) -> None:
    authority, port = new_authority(NOW), free_port()
    listener = Listener("127.0.0.1", port, made(catalog)[0])
    await listener.open()
    await listener.open()
    try:

        async def shown(name: str, ca: str = authority.certificate_pem) -> set[str]:
            context = ssl.create_default_context(cadata=ca)
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            names = writer.get_extra_info("peercert")["subjectAltName"]
            writer.close()
            return {value for _, value in names}

        with pytest.raises(OSError):  # noqa: PT011 - an alert, or the connection's end, whichever comes first
            await shown("a.example")
        leaves = {
            host: context_of(new_leaf(authority, [host, "127.0.0.1"], NOW, timedelta(hours=1)))
            for host in ("a.example", "b.example")
        }
        listener.contexts.put(leaves, leaves["b.example"])
        assert await shown("a.example") == {"a.example", "127.0.0.1"}
        assert await shown("127.0.0.1") == {"b.example", "127.0.0.1"}, "who calls an address names none"
        other = new_authority(NOW)
        listener.contexts.put({"a.example": context_of(new_leaf(other, ["a.example"], NOW, timedelta(hours=1)))}, None)
        assert await shown("a.example", other.certificate_pem) == {"a.example"}
        with pytest.raises(ssl.SSLCertVerificationError):
            await shown("a.example")
        taken = Listener("127.0.0.1", port, made(catalog)[0])
        with pytest.raises(Conflict):
            await taken.open()
    finally:
        await listener.close()
    assert not listener.is_open
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def test_a_configuration_that_somebody_changed_is_told_by_its_fields() -> None:
    webhook = Webhook("one", "dev", "https://a.example/mutate/one", "pem", "snap")
    installed = json.loads(json.dumps(webhook.manifest()))
    installed["metadata"]["resourceVersion"] = "7"
    installed["metadata"]["labels"]["mine"] = "x"
    installed["webhooks"][0]["matchPolicy"] = "Equivalent"
    installed["webhooks"].append({"name": "another.example"})
    assert differences(installed, webhook) == []
    installed["webhooks"][0]["failurePolicy"] = "Fail"
    installed["webhooks"][0]["clientConfig"]["caBundle"] = ""
    del installed["metadata"]["labels"]["app"]
    first = "webhooks[snaphook-one.weaversoft.io]"
    assert set(differences(installed, webhook)) == {
        "metadata.labels.app", f"{first}.failurePolicy", f"{first}.clientConfig.caBundle"
    }  # fmt: skip
    del installed["webhooks"][0]
    assert all(each.startswith(first) for each in differences(installed, webhook) if each.startswith("webhooks"))
