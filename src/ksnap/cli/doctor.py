"""`ksnap doctor`: what nodes and pods lack to be frozen and restored, with the lines to add, before anyone tries."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from ksnap.cli.exits import Exit
from ksnap.cli.invocation import Invocation
from ksnap.cli.verb import connected
from ksnap.errors import InvalidInput

_FINDINGS = {"where": "where", "level": "level", "finding": "id", "message": "message"}


def register(app: typer.Typer) -> None:
    connected(app, "doctor")(doctor)


def doctor(
    cli: Invocation,
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="CLUSTER", help="Cluster; else KSNAP_CLUSTER, else the only one there is."),
    ] = None,
    *,
    pod: Annotated[
        str | None, typer.Option("--pod", metavar="NAME", help="Look at this pod instead of at all nodes.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="With --pod: its namespace; else default.")
    ] = None,
) -> None:
    """Say what each node can freeze and restore, or what stands in the way of freezing a pod, with the lines to add.

    Nothing is tried and nothing changed. Exit code 8 says that a problem was found; warnings alone leave it at 0. No
    problem is no promise: what can be seen in a process alone, the freeze itself tells.
    """
    if namespace is not None and pod is None:
        raise InvalidInput("Which pod?", details="--namespace alone names none", hint="Add --pod NAME")
    name = cli.cluster_name(cluster)
    if pod is None:
        reply = cli.get("cluster", name, "doctor")
        _show_nodes(cli, reply)
    else:
        reply = cli.get("cluster", name, "doctor", "pod", query={"namespace": namespace or "default", "pod_name": pod})
        _show_pod(cli, reply)
    if reply.get("problems"):
        raise typer.Exit(Exit.PROBLEM)


def _show_nodes(cli: Invocation, reply: dict[str, Any]) -> None:
    """What is as it should be stands in the nodes' table; the rest below, a line each, then what to do."""
    cli.screen.record(reply, {"cluster": "cluster_name", "problems": "problems"})
    columns = ("node", "agent answers", "freeze", "restore", "runtime", "report")
    cli.screen.table([_node_row(each) for each in reply.get("nodes", [])], {each: each for each in columns})
    found = [*_of("cluster", reply)]
    for node in reply.get("nodes", []):
        for part in (node, node["checkpoint"], node["restore"]):
            found += _of(str(node["name"]), part)
    _show_findings(cli, [each for each in found if each["level"] != "ok"])


def _node_row(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": node.get("name"),
        "agent answers": node.get("agent_answers"),
        "freeze": node["checkpoint"].get("able"),
        "restore": [engine for engine in ("runtime", "image") if node["restore"].get(engine)] or "none",
        "runtime": node.get("container_runtime"),
        "report": node.get("last_update"),
    }


def _show_pod(cli: Invocation, reply: dict[str, Any]) -> None:
    fields = {"cluster": "cluster_name", "namespace": "namespace", "pod": "pod_name", "node": "node_name"}
    cli.screen.record(reply, fields | {"problems": "problems", "looked at": "looked_at"})
    found = [*_of("pod", reply)]
    for container in reply.get("containers", []):
        found += _of(str(container["container_name"]), container)
    _show_findings(cli, found)


def _of(where: str, part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return ({"where": where, **each} for each in part.get("findings", []))


def _show_findings(cli: Invocation, found: list[dict[str, Any]]) -> None:
    cli.screen.table(found, _FINDINGS)
    for remedy, entries in _by_remedy(found):
        about = ", ".join(dict.fromkeys(str(each["id"]) for each in entries))
        where = ", ".join(dict.fromkeys(str(each["where"]) for each in entries))
        lines = "\n".join(f"  {line}" for line in remedy.splitlines())
        cli.screen.paragraph(f"{about} ({where}):\n{lines}")


def _by_remedy(found: Iterable[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """What many nodes have in common is said once."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        if each.get("remedy"):
            grouped.setdefault(str(each["remedy"]), []).append(each)
    return list(grouped.items())
