"""A pod's hooks, as its annotations say them: a command before the freeze, one after the restore. Pure.

    hooks.ksnap.dev/before-freeze[.CONTAINER]                what to run
    hooks.ksnap.dev/before-freeze-timeout[.CONTAINER]        seconds
    hooks.ksnap.dev/before-freeze-on-failure[.CONTAINER]     fail, or ignore

and the same with `after-restore`. One with a container's name wins there over the one without. All of them are checked
when a freeze or a restore is asked for, whichever will be used: a hook that is misspelt must not be left out in
silence. No error repeats a command, for it may hold a password.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ksnap.errors import InvalidInput

HOOK_DOMAIN = "hooks.ksnap.dev"
# Enough to drop connections or to write a file: a hook holds up the freeze, and the restore's success.
DEFAULT_TIMEOUT_S = 10
LONGEST_TIMEOUT_S = 300
# A command travels in a request's URL, of which many proxies take no more than eight kilobytes.
COMMAND_LIMIT = 4096
SHELL = ("/bin/sh", "-c")
TIMEOUT = "-timeout"
ON_FAILURE = "-on-failure"
_NAME = re.compile(r"(?P<what>(?:before-freeze|after-restore)(?:-timeout|-on-failure)?)(?:\.(?P<container>.+))?")


class Moment(StrEnum):
    BEFORE_FREEZE = "before-freeze"
    AFTER_RESTORE = "after-restore"


@dataclass(frozen=True, slots=True)
class Hook:
    """One command in one container."""

    container: str
    argv: tuple[str, ...] = field(repr=False)
    timeout_s: int
    ignores_failure: bool


def hooks_of(pod: Mapping[str, Any], moment: Moment, containers: Sequence[str]) -> list[Hook]:
    """The hooks of some of a pod's containers, in their order; InvalidInput if any of the pod's hooks is wrong."""
    given = _checked(pod)
    return [hook for each in containers if (hook := _hook(given, moment, each)) is not None]


def _hook(given: Mapping[tuple[str, str], str], moment: Moment, container: str) -> Hook | None:
    def value(kind: str, default: str) -> str:
        return given.get((moment + kind, container)) or given.get((moment + kind, "")) or default

    command = value("", "")
    if not command:
        return None
    timeout_s, policy = value(TIMEOUT, str(DEFAULT_TIMEOUT_S)), value(ON_FAILURE, "fail")
    return Hook(container, _command(command), _timeout(timeout_s), _ignores(policy))


def _checked(pod: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """What is annotated, by name and container (none: all of them); each value was parsed once."""
    metadata = pod["metadata"]
    containers = {each["name"] for each in pod["spec"]["containers"]}
    given = {}
    for name, value in (metadata.get("annotations") or {}).items():
        domain, _, rest = name.partition("/")
        if domain != HOOK_DOMAIN:
            continue
        try:
            what, container = _name(rest, containers)
            _parser(what)(value)
        except ValueError as error:
            raise InvalidInput(
                "The pod's hook is not valid",
                details=f"annotation {name} of pod {metadata['namespace']}/{metadata['name']}: {error}",
                hint="Correct it as docs/guides/hooks.md has it; a restore takes what the pod had when it was frozen",
            ) from error
        given[what, container] = value
    return given


def _name(text: str, containers: set[str]) -> tuple[str, str]:
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError("there is no such annotation")
    container = match["container"] or ""
    if container and container not in containers:
        raise ValueError("the pod has no such container")
    return match["what"], container


def _parser(what: str) -> Callable[[str], object]:
    if what.endswith(TIMEOUT):
        return _timeout
    return _ignores if what.endswith(ON_FAILURE) else _command


def _command(text: str) -> tuple[str, ...]:
    """A JSON array is the arguments; any other text is a line for the shell."""
    if len(text) > COMMAND_LIMIT:
        raise ValueError(f"it is longer than {COMMAND_LIMIT} characters; put a script into the image")
    if not text.strip():
        raise ValueError("it holds no command")
    argv = _array(text) if text.lstrip().startswith("[") else (*SHELL, text)
    if any("\0" in each for each in argv):
        raise ValueError("it holds a NUL character")
    return argv


def _array(text: str) -> tuple[str, ...]:
    try:
        argv = json.loads(text)
    except (ValueError, RecursionError):
        # Not the decoder's own words, which may quote the text.
        raise ValueError("it begins with [ and is not JSON; in a line for the shell write test instead of [") from None
    if not argv or not argv[0] or not all(isinstance(each, str) for each in argv):
        raise ValueError("it is not an array of strings with the program first")
    return tuple(argv)


def _timeout(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LONGEST_TIMEOUT_S:
        raise ValueError(f"it is not a whole number of seconds from 1 to {LONGEST_TIMEOUT_S}")
    return int(text)


def _ignores(text: str) -> bool:
    if text not in {"fail", "ignore"}:
        raise ValueError("it is neither fail nor ignore")
    return text == "ignore"
