"""What starting the program costs: it is typed by people, and completed by shells at each tab."""

import json
import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("ksnap.server", "ksnap.agent", "ksnap.store", "ksnap.kube", "ksnap.identity", "ksnap.checkpoints")
SLOW = ("aiohttp", "asyncio", "fastapi", "sqlalchemy", "pydantic", "rich", "yaml", "importlib.metadata")
# Processor time, as wall-clock time would measure the machine's other work: 0.2 s on a quiet machine, twice that on
# a busy one. The lists above are the sharper test; this one notices what they do not name.
LIMIT_S = 1.0

LIST_MODULES = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from ksnap.cli.main import main
sys.argv = ["ksnap", *sys.argv[1:]]
main()
"""


def modules(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", "KSNAP_TOKEN": "x"},
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def of(packages: tuple[str, ...], loaded: set[str]) -> set[str]:
    return {each for each in loaded if any(each == package or each.startswith(package + ".") for package in packages)}


def test_help_loads_nothing_that_is_slow() -> None:
    assert not of((*HEAVY, *SLOW), modules("--help"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("version",),
        ("checkpoint", "list", "--server", "http://127.0.0.1:9"),
        ("cluster", "add", "x", "--kubeconfig", "/dev/null"),
    ],
)
def test_no_verb_loads_the_servers_side(arguments: tuple[str, ...]) -> None:
    assert not of(HEAVY, modules(*arguments))


def test_help_is_quick() -> None:
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "ksnap.cli", "--help"], capture_output=True, check=True, timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < LIMIT_S
