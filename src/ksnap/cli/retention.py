"""`ksnap retention ...`: which checkpoints are kept, and what went and why."""

import re
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation
from ksnap.cli.options import Name
from ksnap.cli.screen import size
from ksnap.cli.verb import connected, group
from ksnap.errors import InvalidInput

app = group("Which checkpoints are kept.")

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
# How soon a round's end is seen.
LOOK_S = 1.0


class Per(StrEnum):
    """What count and size are counted over."""

    WORKLOAD = "workload"
    NAMESPACE = "namespace"
    CLUSTER = "cluster"


@connected(app, "list")
def list_policies(cli: Invocation) -> None:
    """List the policies."""
    columns = {
        "name": "name", "cluster": "cluster_name", "namespace": "namespace", "owner": "owner", "per": "per",
        "keep last": "keep_last", "max age": "age", "max size": "size", "keep newest": "keep_newest",
    }  # fmt: skip
    found = cli.get("retention", "policies").get("policies", [])
    cli.screen.rows(found, columns, empty="No policy: every checkpoint is kept", computed=_readable)


@connected(app, "set")
def set_policy(
    cli: Invocation,
    name: Name,
    *,
    cluster: Annotated[str | None, typer.Option(metavar="NAME", help="Only in this cluster.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only in this namespace.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="KIND/NAME", help="Only of this workload.")] = None,
    per: Annotated[Per, typer.Option(help="What count and size are counted over.")] = Per.WORKLOAD,
    keep_last: Annotated[int | None, typer.Option(min=0, metavar="N", help="Keep the last N complete ones.")] = None,
    max_age: Annotated[str | None, typer.Option(metavar="TIME", help="Keep none older than: 90m, 12h, 30d.")] = None,
    max_size: Annotated[str | None, typer.Option(metavar="SIZE", help="Keep no more than: 500M, 20G, 1T.")] = None,
    also_newest: Annotated[
        bool, typer.Option("--also-newest", help="Age and size may also take the newest one of a workload.")
    ] = False,
) -> None:
    """Set a policy, in the place of one of that name. Rounds apply all policies, in the order of their names."""
    body = {
        "cluster_name": cluster,
        "namespace": namespace,
        "owner": owner,
        "per": per,
        "keep_last": keep_last,
        "max_age_s": _quantity(max_age, "--max-age", _UNITS_S),
        "max_bytes": _quantity(max_size, "--max-size", _UNITS_BYTES),
        "keep_newest": not also_newest,
    }
    cli.screen.done(cli.change("PUT", "retention", "policies", name, body=body), f"Set retention policy {name}")


@connected(app, "remove")
def remove(cli: Invocation, name: Name) -> None:
    """Remove a policy. What it would have taken stays."""
    cli.screen.done(cli.change("DELETE", "retention", "policies", name), f"Removed retention policy {name}")


@connected(app, "run")
def run(
    cli: Invocation,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and do nothing.")] = False,
) -> None:
    """Do a round now: delete what no policy keeps."""
    done = cli.change("POST", "retention", "run", query={"dry_run": str(dry_run).lower()})
    while done["id"] is not None and done["ended_at"] is None:
        time.sleep(LOOK_S)
        done = cli.get("retention", "rounds", str(done["id"]))
    cli.screen.rows(done.get("deletions", []), _COLUMNS, empty="Nothing is to go", computed=_readable)


@connected(app, "report")
def report(cli: Invocation) -> None:
    """Show what the last rounds deleted, and why."""
    rounds = cli.get("retention", "rounds").get("rounds", [])
    lines = [{**line, "at": each["started_at"]} for each in rounds for line in each["deletions"]]
    cli.screen.rows(lines, {"round": "at", **_COLUMNS}, empty="No round has deleted anything", computed=_readable)


@connected(app, "garbage")
def garbage(
    cli: Invocation, *, delete: Annotated[bool, typer.Option("--delete", help="Remove it, too.")] = False
) -> None:
    """Look for archives and images that no checkpoint names any more."""
    found = cli.change("DELETE", "retention", "garbage") if delete else cli.get("retention", "garbage")
    columns = {"kind": "kind", "name": "name", "size": "size", "made": "made_at"}
    cli.screen.rows(found.get("garbage", []), columns, empty="There is none", computed=_readable)
    for problem in found.get("problems", []):
        cli.screen.warn(str(problem))


_COLUMNS = {
    "checkpoint": "checkpoint_id", "namespace": "namespace", "owner": "owner", "container": "container_name",
    "created": "created_at", "size": "size", "policy": "policy", "reason": "reason", "outcome": "outcome",
}  # fmt: skip


def _readable(entry: Mapping[str, Any]) -> dict[str, Any]:
    in_bytes = entry.get("size_bytes", entry.get("max_bytes"))
    readable: dict[str, Any] = {"size": size(in_bytes) if in_bytes is not None else ""}
    if entry.get("max_age_s") is not None:
        readable["age"] = _time(int(entry["max_age_s"]))
    return readable


def _time(seconds: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS_S[unit] == 0)
    return f"{seconds // _UNITS_S[unit]}{unit}"


def _quantity(text: str | None, option: str, units: Mapping[str, int]) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,12})([A-Za-z]?)", text)
    if found is None or found[2] not in units:
        allowed = ", ".join(unit for unit in units if unit)
        raise InvalidInput(f"{option} cannot be read", details=text[:40], hint=f"A number and one of: {allowed}")
    return int(found[1]) * units[found[2]]
