"""`uv run python -m dev.cluster`: data on stdout, everything else on stderr, exit code 1 with a sentence on failure."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from dev.cluster import agent_image, crowd, info, metrics_server, status, tools
from dev.cluster.cache import Cache
from dev.cluster.commands import say
from dev.cluster.errors import ClusterError
from dev.cluster.layout import Layout
from dev.cluster.settings import MAX_NODES, read_settings
from dev.cluster.up import locked

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A real Kubernetes on this machine, for demo, tests and benchmarks.",
)


class Output(StrEnum):
    """How `status` speaks."""

    TEXT = "text"
    JSON = "json"


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=1, max=MAX_NODES, help="Bring up at least so many nodes.")] = 2,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget all data first.")] = False,
) -> None:
    """Bring the cluster up and wait until its nodes are Ready; does only what is missing."""
    with locked(Layout(read_settings())) as cluster:
        if fresh:
            cluster.down()
            cluster.forget()
        found = cluster.up(nodes)
    say(f"export KUBECONFIG={found.kubeconfig}")


@app.command()
def down(
    *,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the data as well.")] = False,
) -> None:
    """End everything that `up` started. Data stays for the next `up`."""
    with locked(Layout(read_settings())) as cluster:
        cluster.down()
        if forget:
            cluster.forget()


@app.command("restart-node")
def restart_node(
    node: Annotated[str, typer.Argument(help="Such as node1.")],
    *,
    power_cut: Annotated[bool, typer.Option("--power-cut", help="End it without a goodbye first.")] = False,
) -> None:
    """Restart one node, as rebooting a machine would, and wait until it is Ready again."""
    number = node.removeprefix("node")
    if not number.isdigit() or not 1 <= int(number) <= MAX_NODES:
        raise ClusterError(f"{node!r} is no node; they are called node1 to node{MAX_NODES}")
    with locked(Layout(read_settings())) as cluster:
        cluster.restart_node(int(number), power_cut=power_cut)


@app.command("restart-control")
def restart_control() -> None:
    """Restart API server, etcd, registries and controllers; nodes and pods keep running."""
    with locked(Layout(read_settings())) as cluster:
        cluster.restart_control()


class Verb(StrEnum):
    """What to do with the crowd."""

    UP = "up"
    DOWN = "down"


@app.command()
def kwok(
    verb: Annotated[Verb, typer.Argument()],
    nodes: Annotated[int, typer.Option(min=1)] = 200,
    pods: Annotated[int, typer.Option(min=0)] = 10_000,
    events: Annotated[int, typer.Option(min=0)] = 4_000,
) -> None:
    """Simulate nodes, pods and events in the cluster that is up; or remove them."""
    settings = read_settings()
    layout = Layout(settings)
    info.load()
    if verb is Verb.UP:
        crowd.up(layout, Cache(settings.cache), crowd.Crowd(nodes, pods, events))
    else:
        crowd.down(layout)


@app.command("status")
def show_status(output: Annotated[Output, typer.Option("--output", "-o")] = Output.TEXT) -> None:
    """Say what runs; exit code 1 if anything that should run does not."""
    found = status.read(Layout(read_settings()))
    print(status.as_json(found) if output is Output.JSON else status.as_text(found))
    if not found.healthy:
        raise typer.Exit(1)


@app.command("agent-image")
def build_agent_image() -> None:
    """Build and push the agent's image of this tree, and print its full reference."""
    print(agent_image.ensure(info.load(), Cache(read_settings().cache)))


@app.command("metrics-server")
def bring_metrics_server(
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take it out again.")] = False,
) -> None:
    """Bring metrics-server up in the running cluster, and wait for its first figures."""
    if remove:
        metrics_server.remove(info.load())
    else:
        metrics_server.ensure(info.load(), Cache(read_settings().cache))


@app.command()
def kubeconfig() -> None:
    """Print the path of the administrator's kubeconfig."""
    print(info.load().kubeconfig)


@app.command()
def tool(name: Annotated[str, typer.Argument(help="helm, crane, checkpointctl, kubectl, skopeo, ...")]) -> None:
    """Print the path of a tool, building it first if need be."""
    print(tools.tool(name))


def main() -> None:
    """Run a command; our own errors are sentences, not tracebacks."""
    try:
        app()
    except ClusterError as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
