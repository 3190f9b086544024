"""Debian's docker-registry as a process of the test: its own port, folder, certificate and account.

    with start_registry(tmp_path, tls=True, password=True) as registry:
        registry.access      # RegistryAccess, as the client takes it
        registry.folder      # what the registry stored, to be looked at

The certificate's authority is `registry.certificate.ca`. Tests that use it carry `needs_registry`.
"""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from ksnap.model.registry_access import RegistryAccess
from ksnap.registry.client import RegistryTimeouts
from tests.parties.certificates import ServerCertificate, issue_certificate

USERNAME = "ksnap"
PASSWORD = "kept-in-a-test"
# For a client whose registry hangs: no test waits long for that.
QUICK = RegistryTimeouts(connect_s=2, idle_s=1.5, cleanup_s=2)
# bcrypt of PASSWORD: the only form of htpasswd that the registry takes.
_HTPASSWD = f"{USERNAME}:$2y$05$abcdefghijklmnopqrstuuZ/bVN21Effr7QGFUCcFcXH5FCiOSlcG\n"
_READY_S = 15.0

# By its path: the registry's own environment is ours, and names no PATH.
DOCKER_REGISTRY = shutil.which("docker-registry") or ""

needs_registry = pytest.mark.skipif(not DOCKER_REGISTRY, reason="needs Debian's docker-registry")


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    host: str
    """127.0.0.1:port."""
    scheme: Literal["https", "http"]
    folder: Path
    certificate: ServerCertificate
    access: RegistryAccess
    log: Path

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def stored_uploads(self, repository: str) -> list[Path]:
        """Uploads begun and neither finished nor cancelled; a cancelled one leaves an empty folder of hash states."""
        found = self.folder.glob(f"docker/registry/v2/repositories/{repository}/_uploads/*/startedat")
        return sorted(each.parent for each in found)

    def stored_blobs(self) -> list[str]:
        """Digests of all blobs in the store, linked or not."""
        found = self.folder.glob("docker/registry/v2/blobs/sha256/*/*/data")
        return sorted(f"sha256:{data.parent.name}" for data in found)


@contextmanager
def start_registry(
    folder: Path,
    *,
    tls: bool = True,
    password: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[RunningRegistry]:
    """Run a registry until the block ends. `settings` are further REGISTRY_... variables of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = issue_certificate(folder)
    port = free_port()
    storage, log = folder / "storage", folder / "registry.log"
    storage.mkdir()
    configuration = folder / "config.yml"
    configuration.write_text("version: 0.1\nlog: {level: info}\nstorage: {delete: {enabled: true}}\n")
    environment = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(storage),
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_HTTP_SECRET": "one process only",
        "OTEL_TRACES_EXPORTER": "none",
    }
    if tls:
        environment["REGISTRY_HTTP_TLS_CERTIFICATE"] = str(certificate.certificate)
        environment["REGISTRY_HTTP_TLS_KEY"] = str(certificate.key)
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        environment["REGISTRY_AUTH_HTPASSWD_REALM"] = "test"
        environment["REGISTRY_AUTH_HTPASSWD_PATH"] = str(folder / "htpasswd")
    environment |= settings or {}
    scheme: Literal["https", "http"] = "https" if tls else "http"
    access = RegistryAccess(
        host=f"127.0.0.1:{port}",
        scheme=scheme,
        username=USERNAME if password else "",
        password=SecretStr(PASSWORD if password else ""),
        ca_cert=certificate.ca_pem if tls else "",
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [DOCKER_REGISTRY, "serve", str(configuration)], env=environment, stdout=output, stderr=output
        )
        try:
            running = RunningRegistry(access.host, scheme, storage, certificate, access, log)
            _wait_until_ready(process, running)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], registry: RunningRegistry) -> None:
    context = registry.certificate.client_context() if registry.scheme == "https" else None
    deadline = time.monotonic() + _READY_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"docker-registry ended with {process.returncode}: {registry.log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"{registry.url}/v2/", timeout=2, context=context).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            return  # 401: it runs and wants the password
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
