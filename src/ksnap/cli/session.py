"""The login kept between calls: one JSON file of mode 0600, since its token is as good as the password for an hour.

The token belongs to the server that gave it and is never sent to another.
"""

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ksnap.errors import InvalidInput, NotAuthenticated


@dataclass(frozen=True, slots=True)
class Session:
    """One login at one server."""

    server: str
    token: str
    username: str
    role: str
    expires_at: str = ""
    """RFC 3339; empty if the server did not say."""
    ca_cert: str = ""
    """PEM of the CA that signed the server's certificate; empty: the system's."""

    def check_fresh(self, now: datetime) -> None:
        """NotAuthenticated once the token has expired: the server would say so too, less clearly."""
        if self.expires_at and _moment(self.expires_at) <= now:
            raise NotAuthenticated(
                "The login has expired",
                details=f"{self.username} at {self.server}, at {self.expires_at}",
                hint=f"Log in again with: ksnap login --server {self.server}",
            )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def load(path: Path) -> Session | None:
    """The stored login, or None; a file that is not ours is InvalidInput."""
    try:
        content = json.loads(path.read_bytes())
        session = Session(**content)
        if session.expires_at:
            _moment(session.expires_at)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "The stored login cannot be read", details=str(path), hint="Remove it with: ksnap logout"
        ) from error
    return session


def save(path: Path, session: Session) -> None:
    """Write the login so that no other user can read it at any moment, and no reader sees half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".session-")  # created with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(session), file)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def forget(path: Path) -> bool:
    """Remove the login; False if there was none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
