"""The installed `ksnap` as its users run it: a process of its own, against a real server process."""

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.server import ADMIN_PASSWORD, RunningServer, running_server
from tests.server.client import fresh
from tests.server.person import SCRIPTS, Person

STRONG = "a long enough one"

# Each test starts the program several times, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def nobody(tmp_path: Path, server: RunningServer) -> Person:
    """Not logged in."""
    return Person(tmp_path, server.url)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> Person:
    """Logged in as the administrator."""
    person = Person(tmp_path_factory.mktemp("admin"), server.url)
    assert person.ksnap("login", "--password-file", "-", stdin=ADMIN_PASSWORD).code == 0
    return person


def test_login_keeps_a_private_session_and_whoami_knows(nobody: Person) -> None:
    done = nobody.ksnap("login", "--username", "admin", KSNAP_PASSWORD=ADMIN_PASSWORD)
    assert (done.code, done.out) == (0, "")
    assert f"Logged in at {nobody.server} as admin (administrator)" in done.err
    assert stat.S_IMODE(nobody.session.stat().st_mode) == 0o600
    assert ADMIN_PASSWORD not in nobody.session.read_text()
    known = nobody.ksnap("whoami", "-o", "json")
    assert (known.json["username"], known.json["role"]) == ("admin", "administrator")
    assert "administrator" in nobody.ksnap("whoami").out
    assert nobody.ksnap("logout").code == 0
    assert nobody.ksnap("whoami").code == 3


def test_a_wrong_password_is_3_and_keeps_nothing(nobody: Person) -> None:
    done = nobody.ksnap("login", "--username", "nobody-at-all", "--password-file", "-", stdin="wrong\n")
    assert (done.code, done.out) == (3, "")
    assert "(AUTHENTICATION_FAILED)" in done.err
    assert not nobody.session.exists()


def test_a_token_from_the_environment_needs_no_login(nobody: Person, server: RunningServer) -> None:
    assert nobody.ksnap("whoami", KSNAP_TOKEN=server.token).code == 0
    refused = nobody.ksnap("whoami", KSNAP_TOKEN="no token at all")
    assert (refused.code, refused.out) == (3, "")


def test_a_user_from_its_making_to_its_end(admin: Person, tmp_path: Path) -> None:
    name = fresh("anna")
    anna = Person(tmp_path, admin.server)
    added = admin.ksnap("user", "add", name, "--role", "operator", "--name", "Anna", KSNAP_NEW_PASSWORD=STRONG)
    assert (added.code, added.out) == (0, "")
    assert admin.ksnap("user", "add", name, KSNAP_NEW_PASSWORD=STRONG).code == 6
    assert name in admin.ksnap("user", "list").out
    assert anna.ksnap("login", "-u", name, KSNAP_PASSWORD=STRONG).code == 0
    refused = anna.ksnap("user", "list")
    assert refused.code == 4
    assert "(PERMISSION_DENIED)" in refused.err
    assert admin.ksnap("user", "update", name, "--role", "viewer").code == 0
    ended = anna.ksnap("whoami")
    assert ended.code == 3, "a new role ends the logins"
    assert anna.ksnap("login", "-u", name, KSNAP_PASSWORD=STRONG).code == 0
    changed = anna.ksnap("user", "passwd", "--password-file", "-", stdin="another long one\n", KSNAP_PASSWORD=STRONG)
    assert changed.code == 0, changed.err
    assert not anna.session.exists(), "the old login is of no use any more"
    assert anna.ksnap("login", "-u", name, KSNAP_PASSWORD=STRONG).code == 3
    assert anna.ksnap("login", "-u", name, KSNAP_PASSWORD="another long one").code == 0
    removed = admin.ksnap("user", "remove", name, "--output", "json")
    assert removed.code == 0
    assert removed.json["success"] is True
    assert admin.ksnap("user", "remove", name).code == 5


def test_a_weak_password_is_2_and_not_shown(admin: Person) -> None:
    done = admin.ksnap("user", "add", fresh("weak"), KSNAP_NEW_PASSWORD="xyz7")
    assert done.code == 2
    assert "xyz7" not in done.err


def test_kubectl_finds_it_as_a_plugin(nobody: Person) -> None:
    done = nobody.ksnap("--help", script="kubectl-ksnap")
    assert done.code == 0
    assert done.out.startswith("Usage: kubectl ksnap ")


def test_shells_get_completion(nobody: Person) -> None:
    done = nobody.ksnap(_KSNAP_COMPLETE="complete_bash", COMP_WORDS="ksnap checkpoint cr", COMP_CWORD="2")
    assert "create" in done.out.split()


def test_a_one_time_password_must_be_changed_first(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", admin_password=None) as server:
        [line] = [each for each in server.log if "one-time password" in each]
        once = line.split()[-1]
        person = Person(tmp_path, server.url)
        done = person.ksnap("login", KSNAP_PASSWORD=once)
        assert done.code == 0
        assert "ksnap user passwd" in done.err
        assert person.ksnap("user", "list").code == 4
        assert person.ksnap("user", "passwd", KSNAP_PASSWORD=once, KSNAP_NEW_PASSWORD=STRONG).code == 0
        assert person.ksnap("login", KSNAP_PASSWORD=STRONG).code == 0
        assert person.ksnap("user", "list").code == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`ksnap serve` as the guide writes it."""
    person = Person(tmp_path, "")
    process = subprocess.Popen(
        [SCRIPTS / "ksnap", "serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")],
        env=person.environment({"KSNAP_ADMIN_PASSWORD": ADMIN_PASSWORD}),
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(timeout=10)
    assert process.stderr is not None
    process.stderr.close()


def test_serve_answers_until_it_is_told_to_stop(served: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert served.stderr is not None
    url = next(json.loads(line)["url"] for line in served.stderr if '"server_started"' in line)
    assert Person(tmp_path, url).ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    assert (tmp_path / "data").is_dir()
    served.send_signal(signal.SIGTERM)
    served.stderr.read()
    assert served.wait(timeout=30) in {0, -signal.SIGTERM}
