"""Migrations, run at the server's start: Alembic's scripts in `migrations/`, packaged with the program.

Several servers may start at once; one migrates while the others wait for its lock: an advisory one in PostgreSQL, a
file beside the database for SQLite. Everything happens in one transaction, so a killed migration left nothing.
Alembic takes half a second to import and ten megabytes that are never given back, hence only where there is something
to migrate, and for a server in a process of its own:

    python -m ksnap.store.migrate < url
"""

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ksnap.errors import Unavailable
from ksnap.store.database import prepare_sqlite

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
# Any fixed number: it names "ksnap migrates this database" among PostgreSQL's advisory locks.
ADVISORY_LOCK = 0x6B736E6170
LOCK_TIMEOUT_S = 60.0
# Exit code of the process of its own: it failed, and its output says why.
_TOLD = 3


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Blocking: run it in a thread, before the first request."""
    try:
        if make_url(url).get_backend_name() == "sqlite":
            _migrate_sqlite(url)
        else:
            _migrate_postgresql(url)
    except DBAPIError as error:
        raise Unavailable(
            "The database cannot be migrated",
            details=str(error.orig).partition("\n")[0][:200],
            hint="See that it runs and that KSNAP_DATABASE_URL and its user's rights are correct",
        ) from error


def migrate_apart(url: str) -> None:
    """The same in a process of its own, which takes Alembic's memory with it. Blocking, too."""
    if _is_newest(url):
        return
    # The URL may hold a password: it goes by standard input. What nobody foresaw goes to our own standard error.
    command = [sys.executable, "-P", "-m", __name__]
    done = subprocess.run(  # noqa: S603
        command, input=url, stdout=subprocess.PIPE, text=True, check=False, timeout=2 * LOCK_TIMEOUT_S
    )
    if done.returncode == 0:
        return
    told = json.loads(done.stdout) if done.returncode == _TOLD else {}
    raise Unavailable(**({"message": "The database cannot be migrated", "hint": "See the log above"} | told))


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration without a file: where the scripts are, and which connection they use."""
    from alembic.config import Config  # noqa: PLC0415 - as the module says

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _migrate_sqlite(url: str) -> None:
    parsed = make_url(url).set(drivername="sqlite")
    path = Path(parsed.database or "")
    engine = create_engine(parsed, poolclass=NullPool, connect_args={"timeout": LOCK_TIMEOUT_S})
    prepare_sqlite(engine)
    with _file_lock(path.with_name(path.name + ".lock")):
        with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            _upgrade(connection)
        path.chmod(0o600)


def _migrate_postgresql(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        _upgrade(connection)


def newest() -> str:
    """The newest migration's number; the scripts' names begin with it."""
    return max(each.name for each in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _is_newest(url: str) -> bool:
    """Whether there is nothing to do; False also where that cannot be told: the migration then tells why."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if not Path(parsed.database or "").exists():
            return False
        parsed = parsed.set(drivername="sqlite")
    try:
        with create_engine(parsed, poolclass=NullPool).connect() as connection:
            return _has_newest(connection)
    except DBAPIError:
        return False


def _has_newest(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    known = text("SELECT version_num FROM alembic_version WHERE version_num = :newest")
    return connection.execute(known, {"newest": newest()}).first() is not None


def _upgrade(connection: Connection) -> None:
    if _has_newest(connection):
        return
    from alembic import command  # noqa: PLC0415 - as the module says

    command.upgrade(alembic_config(connection), "head")


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unavailable("Another server is migrating the database", details=str(path)) from None
                time.sleep(0.05)
        yield


def main() -> int:
    """Migrate the database whose URL stands on standard input."""
    try:
        migrate(sys.stdin.read())
    except Unavailable as error:
        json.dump({"message": error.message, "details": error.details, "hint": error.hint}, sys.stdout)
        return _TOLD
    return 0


if __name__ == "__main__":
    sys.exit(main())
