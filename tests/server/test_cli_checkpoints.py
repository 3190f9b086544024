"""Lists, downloads, deletions and jobs by command line, over what an earlier server process left."""

import asyncio
import json
import os
import signal
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.parties.fault_proxy import Corrupt, CutAnswer, Fault, FaultProxy, Hang, fault_proxy
from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.person import SCRIPTS, Done, Person
from tests.server.seeded import Seeded, seed

# Each test starts the program several times, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)
# More than two pages of the command line's.
MANY = 1_203


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def left(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RunningServer, Seeded]]:
    data_dir = tmp_path_factory.mktemp("seeded") / "data"
    seeded = await seed(data_dir, checkpoints=MANY)
    with running_server(data_dir) as server:
        yield server, seeded


@pytest.fixture(scope="module")
def server(left: tuple[RunningServer, Seeded]) -> RunningServer:
    return left[0]


@pytest.fixture
def seeded(left: tuple[RunningServer, Seeded]) -> Seeded:
    return left[1]


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> Person:
    person = Person(tmp_path_factory.mktemp("home"), server.url)
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    return person


def test_a_list_has_all_pages_each_once(anna: Person, seeded: Seeded) -> None:
    listed = anna.ksnap("checkpoint", "list", "-o", "json").json
    assert [each["id"] for each in listed] == seeded.ids
    assert len(anna.ksnap("checkpoint", "list", "--limit", "7").out.splitlines()) == 1 + 7


def test_a_list_is_filtered_by_the_server(anna: Person, seeded: Seeded) -> None:
    [line] = anna.ksnap("checkpoint", "list", "--pod", "web-3").out.splitlines()[1:]
    assert line.split()[1:6] == ["dev", "shop", "web-3", "web", "completed"]
    none = anna.ksnap("checkpoint", "list", "--namespace", "elsewhere")
    assert (none.code, none.out, none.err) == (0, "", "No checkpoint\n")


def test_one_is_shown_and_an_unknown_one_is_5(anna: Person, seeded: Seeded) -> None:
    shown = anna.ksnap("checkpoint", "show", seeded.ids[0], "-o", "json").json
    assert (shown["id"], shown["pod_name"], shown["size_bytes"]) == (seeded.ids[0], "web-1202", len(seeded.archive))
    assert "web-1202" in anna.ksnap("checkpoint", "show", seeded.ids[0]).out
    for verb in ("show", "download", "delete", "push"):
        done = anna.ksnap("checkpoint", verb, "f" * 20)
        assert (done.code, done.out) == (5, "")
    assert anna.ksnap("checkpoint", "show", "../../config/user/list").code in {2, 5}


def test_a_download_is_whole_private_and_never_overwrites(anna: Person, seeded: Seeded, tmp_path: Path) -> None:
    file = tmp_path / "web.tar"
    done = anna.ksnap("checkpoint", "download", seeded.ids[0], "-o", str(file), "--output", "json")
    assert done.code == 0, done.err
    assert done.json == {"file": str(file), "size_bytes": len(seeded.archive), "digest": seeded.digest}
    assert file.read_bytes() == seeded.archive
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused = anna.ksnap("checkpoint", "download", seeded.ids[0], "-o", str(file))
    assert refused.code == 6
    assert "hint: Overwrite it with --force" in refused.err
    file.write_text("old")
    assert anna.ksnap("checkpoint", "download", seeded.ids[0], "-o", str(file), "--force").code == 0
    assert file.read_bytes() == seeded.archive
    assert anna.ksnap("checkpoint", "download", seeded.ids[0], "-o", str(tmp_path)).code == 2
    assert anna.ksnap("checkpoint", "download", seeded.ids[0], "-o", "/nonexistent/web.tar").code == 2


def test_a_download_goes_through_a_pipe(anna: Person, seeded: Seeded) -> None:
    done = subprocess.run(
        [SCRIPTS / "ksnap", "checkpoint", "download", seeded.ids[0], "-o", "-"],
        capture_output=True,
        check=True,
        timeout=50,
        env=anna.environment({}),
    )
    assert done.stdout == seeded.archive
    assert seeded.digest.encode() in done.stderr


async def by_proxy(proxy: FaultProxy, server: RunningServer, home: Path, *arguments: str) -> Done:
    person = Person(home, f"http://{proxy.host}")
    return await asyncio.to_thread(person.ksnap, *arguments, KSNAP_TOKEN=server.token)


async def test_a_dropped_download_goes_on_where_it_stopped(
    server: RunningServer, seeded: Seeded, tmp_path: Path
) -> None:
    async with fault_proxy(server.url) as proxy:
        proxy.add(Fault("GET", "/checkpoint/download/", CutAnswer(1_000_000)))
        proxy.add(Fault("GET", "/checkpoint/download/", CutAnswer(2_500_000)))
        done = await by_proxy(
            proxy, server, tmp_path, "checkpoint", "download", seeded.ids[0], "-o", str(tmp_path / "x")
        )
        assert done.code == 0, done.err
        ranges = [each.headers.get("Range") for each in proxy.requests if "/download/" in each.path]
    assert (tmp_path / "x").read_bytes() == seeded.archive
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(each is not None and each.startswith("bytes=") for each in ranges[1:])


async def test_a_damaged_download_leaves_no_file(server: RunningServer, seeded: Seeded, tmp_path: Path) -> None:
    async with fault_proxy(server.url) as proxy:
        proxy.add(Fault("GET", "/checkpoint/download/", Corrupt(3_000_000)))
        done = await by_proxy(
            proxy, server, tmp_path, "checkpoint", "download", seeded.ids[0], "-o", str(tmp_path / "x")
        )
    assert done.code == 1
    assert "The download is damaged" in done.err
    assert [each for each in os.listdir(tmp_path) if "x" in each] == []


def test_a_viewer_may_look_and_not_take(anna: Person, seeded: Seeded, tmp_path: Path) -> None:
    assert anna.ksnap("user", "add", "viewer", KSNAP_NEW_PASSWORD="a long enough one").code == 0
    viewer = Person(tmp_path / "viewer", anna.server)
    assert viewer.ksnap("login", "-u", "viewer", KSNAP_PASSWORD="a long enough one").code == 0
    assert viewer.ksnap("checkpoint", "list", "--limit", "1").code == 0
    for verb in ("download", "delete", "cancel"):
        assert viewer.ksnap("checkpoint", verb, seeded.ids[0]).code == 4
    assert viewer.ksnap("restore", seeded.ids[0], "--name", "x").code == 4


def test_a_deletion_is_followed_to_its_end(anna: Person, seeded: Seeded) -> None:
    first, second = seeded.ids[-1], seeded.ids[-2]
    done = anna.ksnap("checkpoint", "delete", first, second, "-o", "json")
    assert (done.code, done.json) == (0, {"deleted": [first, second]})
    assert anna.ksnap("checkpoint", "show", first).code == 5


async def test_a_second_ctrl_c_leaves_at_once(server: RunningServer, seeded: Seeded, tmp_path: Path) -> None:
    async with fault_proxy(server.url) as proxy:
        proxy.add(Fault("GET", "/jobs/.*/events", Hang(), times=None))
        person = Person(tmp_path, f"http://{proxy.host}")
        process = person.start("checkpoint", "delete", seeded.ids[-5], KSNAP_TOKEN=server.token)
        try:
            await until_asked(proxy, "/events")
            process.send_signal(signal.SIGINT)
            await until_asked(proxy, "/cancel")
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.to_thread(process.communicate, timeout=60)
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)
    assert (process.returncode, out) == (130, "")
    assert "Ctrl-C again to leave" in err
    assert "hint: ksnap job show " in err


async def until_asked(proxy: FaultProxy, path: str) -> None:
    async with asyncio.timeout(60):
        while not any(path in each.path for each in proxy.requests):  # noqa: ASYNC110 - the proxy has no event for it
            await asyncio.sleep(0.05)


def test_a_failed_job_is_told_as_it_failed(anna: Person, seeded: Seeded) -> None:
    [job] = [each for each in anna.ksnap("job", "list", "-o", "json").json if each["id"] == seeded.failed_job]
    assert (job["kind"], job["status"]) == ("publish", "failed")
    assert "registry.example: denied" in anna.ksnap("job", "show", seeded.failed_job).out
    watched = anna.ksnap("job", "watch", seeded.failed_job)
    assert (watched.code, watched.out) == (1, "")
    assert "pushing  0 B of 6.0 MB" in watched.err
    assert "error: The push was refused (IMAGE_PUSH_FAILED)\n  registry.example: denied" in watched.err
    assert "hint: Give the account the right to push" in watched.err
    assert anna.ksnap("job", "cancel", seeded.failed_job).code == 6
    assert anna.ksnap("job", "watch", "f" * 20).code == 5


def test_what_cannot_begin_says_why(anna: Person, seeded: Seeded) -> None:
    unpushed = anna.ksnap("restore", seeded.ids[0], "--name", "again")
    assert unpushed.code == 6
    assert "ksnap checkpoint push" in unpushed.err
    assert anna.ksnap("checkpoint", "push", seeded.ids[0], "--registry", "nowhere").code == 5
    assert anna.ksnap("checkpoint", "create", "web", "--cluster", "nowhere").code == 5
    no_cluster = anna.ksnap("checkpoint", "create", "web")
    assert no_cluster.code == 2
    assert "no cluster is configured" in no_cluster.err
    assert anna.ksnap("checkpoint", "cancel", seeded.ids[0]).code == 6


def test_json_stays_json_in_every_list(anna: Person) -> None:
    for words in (("checkpoint", "list"), ("job", "list"), ("cluster", "list"), ("registry", "list"), ("user", "list")):
        assert isinstance(json.loads(anna.ksnap(*words, "--output", "json").out), list)
