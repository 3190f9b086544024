"""Calling other programs: always with a deadline, always with an error that quotes what they said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.cluster.errors import CommandError, with_log


def say(line: str) -> None:
    """Tell the person at the terminal what happens now; data goes to stdout, everything else here."""
    print(line, file=sys.stderr, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float = 30,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a short command and return its stdout; an exit code other than 0 is an error that quotes its stderr."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=cwd, env=env
        )
    except FileNotFoundError as error:
        raise CommandError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(words)}: no end after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise CommandError(f"{' '.join(words)}: exit code {done.returncode}\n{said}")
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout_s: float = 30) -> bool:
    """Whether a command ends with exit code 0, for questions whose other answer is not an error."""
    try:
        run(argv, timeout_s=timeout_s)
    except CommandError:
        return False
    return True


def run_logged(
    argv: Sequence[str | Path],
    *,
    log: Path,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a long command with its output in a file; a failure names the file and quotes its end.

    The command ends with us, even if we are killed: else it would go on writing where the next run begins anew.
    """
    words = [str(word) for word in argv]
    if shutil.which(words[0]) is None:
        raise CommandError(f"{words[0]} is not installed")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                ["setpriv", "--pdeathsig=KILL", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
                cwd=cwd,
                env=env,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(with_log(f"{words[0]}: no end after {timeout_s:.0f} s", log)) from error
    if done.returncode != 0:
        raise CommandError(with_log(f"{words[0]}: exit code {done.returncode}", log))
