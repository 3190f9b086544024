"""Somebody at a shell: runs the installed `ksnap` as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Done:
    """What one call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a shell, with a home and a server of choice."""

    home: Path
    server: str

    def ksnap(self, *arguments: str, stdin: str = "", script: str = "ksnap", **environment: str) -> Done:
        done = subprocess.run(
            [SCRIPTS / script, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self.environment(environment),
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Begin a call and leave it running; the caller ends it with `communicate`."""
        return subprocess.Popen(
            [SCRIPTS / "ksnap", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(environment),
        )

    def environment(self, added: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KSNAP_")}
        return {**kept, "XDG_CONFIG_HOME": str(self.home), "KSNAP_SERVER": self.server, **added}

    @property
    def session(self) -> Path:
        return self.home / "ksnap/session.json"
