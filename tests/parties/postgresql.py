"""PostgreSQL as a party of tests: Debian's server with a cluster of its own in a temporary folder, on a loopback port.

It refuses to run as root, so it runs as the user postgres, whom Debian's package made. Each test that wants one gets
a fresh database of that one server: `with_database(server)`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"
READY_S = 30.0

needs_postgresql = pytest.mark.skipif(not BINARIES.is_dir(), reason="needs Debian's postgresql-15 (make setup)")


@dataclass(frozen=True, slots=True)
class RunningPostgresql:
    port: int
    password: str
    process: "subprocess.Popen[bytes]"

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def signal(self, number: int) -> None:
        """Send a signal to the server and to each of its connections' processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            os.kill(pid, number)


@contextmanager
def running_postgresql() -> Iterator[RunningPostgresql]:
    """A server until the block ends."""
    # Not below pytest's own folder: that one is closed to the user postgres.
    folder = Path(tempfile.mkdtemp(prefix="ksnap-postgresql-"))
    password = secrets.token_hex(8)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        _initialize(folder, password)
        port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",  # these data need not outlive the machine
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_postgres(), BINARIES / "postgres", "-D", folder / "data", *flags],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        server = RunningPostgresql(port, password, process)
        try:
            _wait(server)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


@contextmanager
def with_database(server: RunningPostgresql) -> Iterator[str]:
    """The URL of a fresh database; it goes with the block."""
    name = f"ksnap_{secrets.token_hex(4)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield server.url(name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _as_postgres() -> list[str]:
    """Becomes the user and then the program, so that the process is the program's."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []


def _initialize(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        shutil.chown(secret, USER, USER)
    options = [f"--pwfile={secret}", f"--username={USER}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
    subprocess.run(
        [*_as_postgres(), BINARIES / "initdb", "-D", folder / "data", *options],
        check=True,
        capture_output=True,
        cwd=folder,
    )


def _wait(server: RunningPostgresql) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            psycopg.connect(server.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            assert server.process.poll() is None, "PostgreSQL ended"
            time.sleep(0.1)
        else:
            return
    raise AssertionError("PostgreSQL did not become ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
