"""Files out of real containers."""

import asyncio
import io
import tarfile
from collections.abc import Iterator

import aiohttp
import pytest

from dev.cluster.info import ClusterInfo
from dev.cluster.kubectl import Kubectl
from tests.cluster.dashboard.client import Dashboard, account, rule
from tests.cluster.dashboard.log_followers import LIMIT_S
from tests.cluster.dashboard.log_pods import FOREVER, container, peak_mib, pod, until
from tests.cluster.namespaces import own_namespace
from tests.parties.server import RunningServer
from tests.server.client import Answer

LONG = "long-name-" * 15
MAKE = f"""
mkdir -p /data/sub /data/empty && cd /data
echo hello > file && echo deep > sub/{LONG} && ln -s /etc/passwd link && ln file hard && mkfifo pipe
truncate -s 300M big && touch 'strange "name' && mkdir /closed && truncate -s 100M /closed/a && mkdir /closed/b
{FOREVER}
"""
# A tar that is not one: its member's name climbs.
EVIL = """
mkdir -p /evil/etc /data/x && cd /evil/etc && echo x > file
mv /bin/tar /bin/real || rm /bin/tar
printf '#!/bin/sh\\ncd /evil/etc; exec /bin/busybox tar -cf - ../etc/file | sed s,etc/file,../fiile,\\n' > /bin/tar
chmod +x /bin/tar
"""


@pytest.fixture(scope="module")
def room(cluster: ClusterInfo, kubectl: Kubectl) -> Iterator[str]:
    with own_namespace(kubectl) as name:
        bare = {"name": "app", "image": cluster.images["pause"]}
        kubectl.apply(pod("files", name, container(cluster, MAKE)), pod("bare", name, bare))
        kubectl.wait_ready(name, "files", "bare")
        yield name


@pytest.fixture(scope="module")
def token(kubectl: Kubectl, room: str) -> Iterator[str]:
    with account(kubectl, room, rules=[rule("pods/exec", "get", "create")]) as token:
        yield token


@pytest.fixture
def reader(dashboard: Dashboard, token: str) -> Dashboard:
    return dashboard.as_token(token)


async def _tar(reader: Dashboard, room: str, path: str) -> tuple[str, tarfile.TarFile]:
    """The file's name, and what it holds."""
    url = f"{reader.url}{reader.prefix}/pod/{room}/files/file/app"
    async with reader.session.get(url, params={"path": path}, headers=reader.headers) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.headers["Content-Type"] == "application/x-tar"
        return answer.headers["Content-Disposition"], tarfile.open(fileobj=io.BytesIO(body))


async def _file(reader: Dashboard, of: str, path: str) -> Answer:
    return await reader.call("GET", f"/pod/{of}", query={"path": path})


async def test_a_file(reader: Dashboard, room: str) -> None:
    name, archive = await _tar(reader, room, "/data/file")
    assert name == 'attachment; filename="file.tar"'
    assert archive.getnames() == ["file"]
    member = archive.extractfile("file")
    assert member is not None
    assert member.read() == b"hello\n"


async def test_a_folder(reader: Dashboard, kubectl: Kubectl, room: str) -> None:
    """With all that is in it, but for pipes."""
    await asyncio.to_thread(kubectl.exec, room, "files", ["/bin/busybox", "rm", "-f", "/data/big"])
    _, archive = await _tar(reader, room, "/data/")
    names = {each.name: each for each in archive.getmembers()}
    assert set(names) == {
        "data",
        "data/file",
        "data/hard",
        "data/link",
        "data/empty",
        "data/sub",
        f"data/sub/{LONG}",
        'data/strange "name',
    }
    assert names["data/link"].linkname == "/etc/passwd"
    await asyncio.to_thread(kubectl.exec, room, "files", ["/bin/busybox", "truncate", "-s", "300M", "/data/big"])


async def test_a_strange_name(reader: Dashboard, room: str) -> None:
    name, archive = await _tar(reader, room, '/data/strange "name')
    assert name == 'attachment; filename="strange _name.tar"'
    assert archive.getnames() == ['strange "name']


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/data/none", 404, "not in the container"),
        ("/data/../etc", 400, "must not hold .."),
        ("data", 400, "must begin with /"),
        ("/", 400, "whole root"),
        ("/data/pipe", 400, "a device, a pipe or a socket"),
    ],
)
async def test_paths_that_cannot_be_read(reader: Dashboard, room: str, path: str, status: int, said: str) -> None:
    answer = await _file(reader, f"{room}/files/file/app", path)
    assert (answer.status, said in answer.text) == (status, True), answer
    assert "Content-Disposition" not in answer.headers


async def test_a_container_without_tar(reader: Dashboard, room: str) -> None:
    answer = await _file(reader, f"{room}/bare/file/app", "/pause")
    assert answer.status == 409
    assert "has no tar" in answer.text


async def test_what_is_not_there_or_not_allowed(reader: Dashboard, kubectl: Kubectl, room: str) -> None:
    assert (await _file(reader, f"{room}/none/file/app", "/data")).status == 404
    assert (await _file(reader, f"{room}/files/file/none", "/data")).status == 400
    assert (await reader.get(f"/pod/{room}/files/file/app")).status == 400
    with account(kubectl, room, rules=[rule("pods", "get")]) as token:
        assert (await _file(reader.as_token(token), f"{room}/files/file/app", "/data")).status == 403


async def test_a_tar_that_fails_in_the_middle_is_a_failed_transfer(
    reader: Dashboard, kubectl: Kubectl, room: str
) -> None:
    """Here it is killed, as the kernel does when a container has no memory left."""
    url = f"{reader.url}{reader.prefix}/pod/{room}/files/file/app"
    with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012 - what came before counts, too
        async with reader.session.get(url, params={"path": "/data/big"}, headers=reader.headers) as answer:
            assert answer.status == 200
            await answer.content.readexactly(1 << 20)
            await asyncio.to_thread(kubectl.exec, room, "files", ["/bin/busybox", "killall", "tar"])
            while await answer.content.readany():
                pass


async def test_the_command_ends_with_the_client(reader: Dashboard, kubectl: Kubectl, room: str) -> None:
    url = f"{reader.url}{reader.prefix}/pod/{room}/files/file/app"
    async with reader.session.get(url, params={"path": "/data/big"}, headers=reader.headers) as answer:
        await answer.content.readexactly(1 << 20)
        answer.close()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.to_thread(until, lambda: "tar -cf" not in kubectl.exec(room, "files", ["/bin/busybox", "ps"]))


async def test_a_tar_of_a_hostile_container_is_refused(
    reader: Dashboard, cluster: ClusterInfo, kubectl: Kubectl, room: str
) -> None:
    kubectl.apply(pod("evil", room, container(cluster, f"{EVIL}\n{FOREVER}")))
    kubectl.wait_ready(room, "evil")
    answer = await _file(reader, f"{room}/evil/file/app", "/data/x")
    assert answer.status == 502
    assert "refused" in answer.text


@pytest.mark.thorough
@pytest.mark.timeout(600)
async def test_a_gigabyte_takes_no_memory(
    reader: Dashboard, dashboard_server: RunningServer, kubectl: Kubectl, room: str
) -> None:
    argv = ["/bin/busybox", "truncate", "-s", "1G", "/data/huge"]
    await asyncio.to_thread(kubectl.exec, room, "files", argv)
    await _tar(reader, room, "/data/file")
    before, size = peak_mib(dashboard_server), 0
    url = f"{reader.url}{reader.prefix}/pod/{room}/files/file/app"
    timeout = aiohttp.ClientTimeout(total=None)
    async with reader.session.get(
        url, params={"path": "/data/huge"}, headers=reader.headers, timeout=timeout
    ) as answer:
        try:
            async for chunk in answer.content.iter_any():
                size += len(chunk)
        except aiohttp.ClientPayloadError:
            await asyncio.sleep(1)
            print("SEEN", size, [x for x in dashboard_server.log if "download" in x])
            raise
    assert size > 1 << 30
    assert peak_mib(dashboard_server) - before < 32
