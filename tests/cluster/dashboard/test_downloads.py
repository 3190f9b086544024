"""Logs as files, and objects as files (dashboard contract, section 12)."""

import asyncio
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.log_followers import LIMIT_S, behind_a_proxy
from tests.cluster.dashboard.log_pods import FOREVER, container, peak_mib, pod, until
from tests.cluster.namespaces import own_namespace
from tests.parties.fault_proxy import CutAnswer, Fault, Repeat
from tests.parties.server import RunningServer

COUNT = 20_000
LINES = "".join(f"line {number} {'x' * 60}\n" for number in range(1, COUNT + 1))
NASTY = {
    "a": "1e3",
    "b": "y",
    "c": "0o17",
    "d": "a: b\n  - c\n",
    "e": " \ttail ",
    "f": "",
    "g": "\u00e9\U0001f600",
    "h": "1_0",
}
NASTY |= {
    "i": "12:30",
    "j": "null",
    "k": "# no\n\n# comment",
    "l": "=",
    "m": "line\r\nend",
    "n": "'\"",
    "o": "2024-03-05",
}


@pytest.fixture(scope="module")
def room(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        script = f"seq 1 {COUNT} | sed 's/.*/line & {'x' * 60}/'; {FOREVER}"
        metadata = {"name": "nasty", "namespace": name}
        secret = {"name": "key", "namespace": name}
        kubectl.apply(
            pod("web", name, container(cluster, script)),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": NASTY},
            {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"password": "hush"}},
        )
        kubectl.wait_ready(name, "web")
        until(lambda: f"line {COUNT} " in kubectl("-n", name, "logs", "web", "--tail=1"))
        yield name


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, room: str) -> Iterator[str]:
    readable = [rule(each, "get") for each in ("pods", "pods/log", "configmaps", "secrets")]
    with account(kubectl, room, rules=readable) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


# Logs


async def test_a_whole_log(reader: Dashboard, room: str) -> None:
    answer = await reader.get(f"/log/file/{room}/web/app")
    assert answer.status == 200
    assert answer.text == LINES
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="logs-from-app-in-web.log"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Length" not in answer.headers


async def test_a_part_of_a_log(reader: Dashboard, room: str) -> None:
    path = f"/log/file/{room}/web/app"
    assert (await reader.get(path, tailLines=6000)).text == "".join(LINES.splitlines(keepends=True)[-6000:])
    assert (await reader.get(path, sinceTime="2100-01-01T00:00:00Z")).text == ""
    stamped = (await reader.get(path, timestamps="true", tailLines=1)).text
    stamp, _, line = stamped.partition(" ")
    assert (line, "T" in stamp) == (LINES.splitlines(keepends=True)[-1], True)
    assert (await reader.get(path, tailLines=0)).status == 400


async def test_whatever_a_client_accepts(reader: Dashboard, room: str) -> None:
    for accept in ("text/plain", "application/json", "*/*"):
        answer = await reader.call("GET", f"/log/file/{room}/web/app?tailLines=1", headers={"Accept": accept})
        assert answer.status == 200


async def test_a_log_that_cannot_be_opened(reader: Dashboard, room: str) -> None:
    for path, status in ((f"{room}/none/app", 404), (f"{room}/web/none", 400), ("default/web/app", 403)):
        answer = await reader.get(f"/log/file/{path}")
        assert answer.status == status, answer
        assert "Content-Disposition" not in answer.headers
    assert (await reader.get(f"/log/file/{room}/web/app", previous="true")).status == 400


async def test_a_log_that_breaks_off_is_a_failed_transfer(
    reader: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo, room: str, tmp_path: Path
) -> None:
    """And what came holds no error's text."""
    async with behind_a_proxy(dashboard_server, cluster, reader, tmp_path) as (proxied, proxy):
        proxy.add(Fault("GET", "/log", CutAnswer(500_000)))
        got = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012 - what came before counts, too
            async with proxied.session.get(
                f"{proxied.url}{proxied.prefix}/log/file/{room}/web/app", headers=proxied.headers
            ) as answer:
                assert answer.status == 200
                async for chunk in answer.content.iter_any():
                    got += chunk
        assert len(got) <= 500_000
        assert LINES.encode().startswith(bytes(got))


async def test_the_read_ends_with_the_client(
    reader: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo, room: str, tmp_path: Path
) -> None:
    async with behind_a_proxy(dashboard_server, cluster, reader, tmp_path) as (proxied, proxy):
        proxy.add(Fault("GET", "/log", Repeat(1000)))
        url = f"{proxied.url}{proxied.prefix}/log/file/{room}/web/app"
        async with proxied.session.get(url, headers=proxied.headers) as answer:
            await answer.content.readexactly(1000)
            assert proxy.open == 1
            answer.close()
        async with asyncio.timeout(LIMIT_S):
            while proxy.open:  # noqa: ASYNC110 - a connection of another process
                await asyncio.sleep(0.1)


@pytest.mark.thorough
@pytest.mark.timeout(600)
async def test_a_gigabyte_of_log_takes_no_memory(
    reader: Dashboard, dashboard_server: RunningServer, cluster: ClusterInfo, room: str, tmp_path: Path
) -> None:
    """The kubelet keeps ten megabytes of a log: the proxy gives them often enough."""
    times = (1 << 30) // len(LINES) + 1
    async with behind_a_proxy(dashboard_server, cluster, reader, tmp_path) as (proxied, proxy):
        await proxied.get(f"/log/file/{room}/web/app")  # what a first request loads
        proxy.add(Fault("GET", "/log", Repeat(times)))
        before = peak_mib(dashboard_server)
        url = f"{proxied.url}{proxied.prefix}/log/file/{room}/web/app"
        timeout = aiohttp.ClientTimeout(total=None)
        async with proxied.session.get(url, headers=proxied.headers, timeout=timeout) as answer:
            size = 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
    assert size == times * len(LINES)
    assert peak_mib(dashboard_server) - before < 32


# Objects


async def _export(reader: Dashboard, **query: Any) -> tuple[str, bytes]:
    """The file's name, and what it holds."""
    async with reader.session.get(f"{reader.url}/api/v1/export", params=query, headers=reader.headers) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return answer.headers["Content-Disposition"], body


async def test_kubectl_reads_an_export_as_it_was(reader: Dashboard, kubectl: Kubectl, room: str) -> None:
    name, body = await _export(reader, object=f"configmap/{room}/nasty")
    assert name == 'attachment; filename="selection.yaml"'
    assert b"managedFields" not in body
    read = json.loads(kubectl("create", "--dry-run=client", "--filename=-", "--output=json", stdin=body.decode()))
    assert read["data"] == NASTY == kubectl.get(room, "configmap", "nasty")["data"]


async def test_a_selection_in_each_form(reader: Dashboard, room: str) -> None:
    chosen = [f"configmap/{room}/nasty", f"Pod/{room}/web", f"secret/{room}/key"]
    _, documents = await _export(reader, object=chosen, export="yaml")
    assert [each["kind"] for each in yaml.safe_load_all(documents)] == ["ConfigMap", "Pod", "Secret"]
    name, listed = await _export(reader, object=chosen, export="json")
    assert name == 'attachment; filename="selection.json"'
    assert [each["metadata"]["name"] for each in json.loads(listed)["items"]] == ["nasty", "web", "key"]
    _, tar = await _export(reader, object=chosen, export="tar")
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert archive.getnames() == [f"{room}/configmap-nasty.yaml", f"{room}/pod-web.yaml", f"{room}/secret-key.yaml"]


async def test_what_secrets_hold_only_if_asked_for(reader: Dashboard, room: str) -> None:
    for hidden in ({}, {"showSecrets": "1"}):
        _, body = await _export(reader, object=f"secret/{room}/key", **hidden)
        assert b"aHVzaA" not in body
        assert b"hush" not in body
    _, body = await _export(reader, object=f"secret/{room}/key", showSecrets="true")
    assert yaml.safe_load(body)["data"] == {"password": "aHVzaA=="}


async def test_selections_that_cannot_be_exported(reader: Dashboard, room: str) -> None:
    for chosen, status in (
        (f"pod/{room}/none", 404),
        (f"service/{room}/x", 403),
        ("unheard-of/x", 400),
        ("pod/web", 400),
        ("pod", 400),
        (f"pod/{room}/..", 400),
    ):
        answer = await reader.get("/export", object=chosen)
        assert answer.status == status, (chosen, answer)
    assert (await reader.get("/export")).status == 400
    assert (await reader.get("/export", object=f"pod/{room}/web", export="zip")).status == 400
