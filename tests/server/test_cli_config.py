"""Clusters and registries by command line: what travels, what is tested, and what each failure exits with."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.certificates import issue_certificate
from tests.parties.registry import PASSWORD, USERNAME, RunningRegistry, needs_registry
from tests.parties.server import ADMIN_PASSWORD, RunningServer
from tests.server.client import fresh
from tests.server.person import Person

# Each test starts the program several times, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> Person:
    person = Person(tmp_path_factory.mktemp("admin"), server.url)
    assert person.ksnap("login", KSNAP_PASSWORD=ADMIN_PASSWORD).code == 0
    return person


@pytest.fixture
def api_server() -> Iterator[str]:
    """An address where no API server answers, now or later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{taken.getsockname()[1]}"


def write_kubeconfig(folder: Path, server: str, user: dict[str, object]) -> Path:
    certificate = issue_certificate(folder)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
        "clusters": [{"name": "dev", "cluster": {"server": server, "certificate-authority": certificate.ca.name}}],
        "users": [{"name": "dev", "user": user}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_a_cluster_that_does_not_answer_is_stored_and_7(admin: Person, tmp_path: Path, api_server: str) -> None:
    name = fresh("cluster")
    user: dict[str, object] = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    kubeconfig = write_kubeconfig(tmp_path, api_server, user)
    added = admin.ksnap("cluster", "add", name, "--kubeconfig", str(kubeconfig), "--repo", "snapshots")
    assert (added.code, added.out) == (7, "")
    assert "(CLUSTER_CONNECTION_FAILED)" in added.err
    assert f"cluster {name} is stored all the same" in added.err
    assert "PRIVATE" not in added.err
    [listed] = [each for each in admin.ksnap("cluster", "list", "-o", "json").json if each["name"] == name]
    assert (listed["api_server_url"], listed["auth_type"], listed["repo"]) == (api_server, "kubeconfig", "snapshots")
    assert name in admin.ksnap("cluster", "list").out
    assert admin.ksnap("cluster", "add", name, "--kubeconfig", str(kubeconfig)).code == 6
    assert admin.ksnap("cluster", "test", name).code == 7
    assert admin.ksnap("cluster", "remove", name).code == 0
    assert admin.ksnap("cluster", "test", name).code == 5


def test_an_exec_plugin_never_leaves_this_machine(admin: Person, tmp_path: Path, api_server: str) -> None:
    kubeconfig = write_kubeconfig(tmp_path, api_server, {"exec": {"command": "aws"}})
    done = admin.ksnap("cluster", "add", fresh("cluster"), "--kubeconfig", str(kubeconfig))
    assert done.code == 2
    assert "logs in by exec" in done.err
    assert "hint: " in done.err


def test_a_token_comes_from_the_environment(admin: Person, api_server: str) -> None:
    name = fresh("cluster")
    done = admin.ksnap("cluster", "add", name, "--api-server", api_server, KSNAP_CLUSTER_TOKEN="geheimes-token")
    assert done.code == 7
    assert "geheimes-token" not in done.err
    listed = admin.ksnap("cluster", "list", "-o", "json")
    assert "geheimes-token" not in listed.out
    assert [each["auth_type"] for each in listed.json if each["name"] == name] == ["token"]
    assert admin.ksnap("cluster", "remove", name).code == 0


def test_a_cluster_of_an_unknown_registry_is_5(admin: Person, api_server: str) -> None:
    done = admin.ksnap(
        "cluster", "add", fresh("cluster"), "--api-server", api_server, "--registry", "nowhere", KSNAP_CLUSTER_TOKEN="t"
    )
    assert done.code == 5


@needs_registry
def test_a_registry_from_its_adding_to_its_end(admin: Person, registry: RunningRegistry, tmp_path: Path) -> None:
    name = fresh("registry")
    account = ("--username", USERNAME, "--registry-ca", str(registry.certificate.ca))
    done = admin.ksnap("registry", "add", name, registry.host, *account, KSNAP_REGISTRY_PASSWORD=PASSWORD)
    assert done.code == 0, done.err
    assert "Successfully logged in" in done.err
    [listed] = [each for each in admin.ksnap("registry", "list", "-o", "json").json if each["name"] == name]
    assert PASSWORD not in json.dumps(listed)
    assert listed["username"] == USERNAME
    assert admin.ksnap("registry", "login", name).code == 0
    assert admin.ksnap("registry", "remove", name).code == 0
    assert admin.ksnap("registry", "login", name).code == 5


@needs_registry
def test_a_wrong_registry_password_is_7_and_not_shown(admin: Person, registry: RunningRegistry, tmp_path: Path) -> None:
    name = fresh("registry")
    (tmp_path / "password").write_text("falsch-geraten\n")
    account = ("--username", USERNAME, "--registry-ca", str(registry.certificate.ca))
    done = admin.ksnap("registry", "add", name, registry.host, *account, "--password-file", str(tmp_path / "password"))
    assert done.code == 7
    assert "(REGISTRY_CONNECTION_FAILED)" in done.err
    assert "falsch-geraten" not in done.err
    assert admin.ksnap("registry", "remove", name).code == 0
