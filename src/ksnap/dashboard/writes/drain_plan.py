"""Which pods a drain evicts, which it leaves, and why it would not begin. Pure; the rules are `kubectl drain`'s."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ksnap.errors import Conflict, InvalidInput

MIRROR = "kubernetes.io/config.mirror"
FINISHED = frozenset({"Succeeded", "Failed"})
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# A drain belongs to somebody's maintenance; after a day nobody waits for it any more.
LONGEST_S = 86_400.0
_TOLD = 10


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """As the Dashboard's body has them, with its defaults."""

    force: bool = True
    """Also evict pods that no controller makes again."""
    timeout_s: float = 120.0
    """0: as long as a drain may take at all."""
    grace_period_s: int = -1
    """Negative: each pod's own."""
    ignore_daemon_sets: bool = True
    delete_empty_dir_data: bool = True

    @property
    def limit_s(self) -> float:
        return self.timeout_s or LONGEST_S


@dataclass(frozen=True, slots=True)
class PodName:
    """One pod, as it was found; another one of its name is another one."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Skipped:
    pod: PodName
    reason: str


@dataclass(frozen=True, slots=True)
class DrainPlan:
    evict: tuple[PodName, ...]
    skip: tuple[Skipped, ...]


def plan_drain(pods: Iterable[Mapping[str, Any]], options: DrainOptions) -> DrainPlan:
    """What to do with a node's pods; Conflict that names those which the options do not allow to evict."""
    evict: list[PodName] = []
    skip: list[Skipped] = []
    refused: list[str] = []
    for each in pods:
        metadata = each["metadata"]
        pod = PodName(metadata["namespace"], metadata["name"], metadata["uid"])
        stays = _why_it_stays(each, options)
        problem = "" if stays else _why_not(each, options)
        if stays:
            skip.append(Skipped(pod, stays))
        elif problem:
            refused.append(f"{pod} {problem}")
        else:
            evict.append(pod)
    if refused:
        more = f"; and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
        raise Conflict("The node cannot be drained with these options", details="; ".join(refused[:_TOLD]) + more)
    return DrainPlan(tuple(evict), tuple(skip))


def parse_timeout(value: int | float | str) -> float:
    """Seconds, out of nanoseconds as a number (the Dashboard's) or a text such as `2m` or `1m30s` (Go's)."""
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise InvalidInput("timeout is no duration", details=f"{value[:40]!r}", hint='Write "2m", or nanoseconds')
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
    else:
        seconds = value * 1e-9
    if not 0 <= seconds <= LONGEST_S:
        raise InvalidInput("timeout is out of range", details=f"{seconds:g} s; from 0 to {LONGEST_S:g}")
    return seconds


def _why_it_stays(pod: Mapping[str, Any], options: DrainOptions) -> str:
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return "it is the node's own (a static pod)"
    if _controller(pod) == "DaemonSet" and not _is_finished(pod) and options.ignore_daemon_sets:
        return "its DaemonSet would make it again"
    return ""


def _why_not(pod: Mapping[str, Any], options: DrainOptions) -> str:
    if _is_finished(pod):
        return ""  # nothing is lost with it
    controller = _controller(pod)
    if controller == "DaemonSet":
        return "belongs to a DaemonSet (ignoreAllDaemonSets)"
    if not controller and not options.force:
        return "has no controller that would make it again (force)"
    volumes = (pod.get("spec") or {}).get("volumes") or []
    if any("emptyDir" in each for each in volumes) and not options.delete_empty_dir_data:
        return "has data in an emptyDir (deleteEmptyDirData)"
    return ""


def _is_finished(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in FINISHED


def _controller(pod: Mapping[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(each["kind"]) for each in owners if each.get("controller")), "")
