"""`ksnap cluster ...`: which clusters the server knows, and how it reaches them."""

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ksnap.cli.invocation import Invocation, read_text
from ksnap.cli.options import Name
from ksnap.cli.secret_input import STDIN, read_secret
from ksnap.cli.verb import connected, group
from ksnap.errors import InvalidInput, KsnapError

app = group("Clusters that the server knows, and how it reaches them.")


@connected(app, "add")
def add(
    cli: Invocation,
    name: Name,
    *,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Kubeconfig to take the credentials from; - is stdin.")
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="Its context; else its current one.")] = None,
    api_server: Annotated[
        str | None, typer.Option(metavar="URL", help="API server: instead of the kubeconfig's, or with a token.")
    ] = None,
    api_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the CA that signed the API server's certificate.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with a service account's token; - is stdin.")
    ] = None,
    in_cluster: Annotated[
        bool, typer.Option("--in-cluster", help="The cluster that the server itself runs in.")
    ] = False,
    registry: Annotated[
        str | None, typer.Option(metavar="NAME", help="Registry that this cluster's checkpoint images go to.")
    ] = None,
    repo: Annotated[str | None, typer.Option(metavar="PATH", help="Repository path below that registry.")] = None,
    skip_tls_verify: Annotated[
        bool, typer.Option("--skip-tls-verify", help="The server does not check the API server's certificate: unsafe.")
    ] = False,
) -> None:
    """Add a cluster, then test that the server reaches it.

    Either --kubeconfig, of which one context travels, with the files that it names; or --api-server with a token from
    --token-file, KSNAP_CLUSTER_TOKEN or a prompt; or --in-cluster.
    """
    if in_cluster + (kubeconfig is not None) + (api_server is not None and kubeconfig is None) != 1:
        raise InvalidInput("How is the cluster reached?", hint="Give one of --kubeconfig, --api-server, --in-cluster")
    body: dict[str, Any] = {"name": name, "verify_ssl": not skip_tls_verify}
    if in_cluster:
        body |= {"auth_type": "service_account", "api_server_url": "https://kubernetes.default.svc"}
    elif kubeconfig is not None:
        body |= _from_kubeconfig(cli, kubeconfig, context)
        body["api_server_url"] = api_server or body["api_server_url"]
    else:
        token = read_secret("token", file=token_file, file_option="--token-file", variable="KSNAP_CLUSTER_TOKEN")
        body |= {"auth_type": "token", "api_server_url": api_server, "token": token}
    if api_ca is not None:
        body["ca_cert"] = read_text(api_ca, "the API server's CA")
    if not body["verify_ssl"]:
        cli.screen.warn(f"the server will not check the certificate of {body['api_server_url']}")
    body |= {key: value for key, value in (("registry_name", registry), ("repo", repo)) if value is not None}
    cli.change("POST", "config", "clusters", "create", body=body)
    cli.screen.note(f"Added cluster {name}; testing the connection")
    try:
        _test(cli, name)
    except KsnapError:
        cli.screen.note(f"cluster {name} is stored all the same; test it again with: ksnap cluster test {name}")
        raise


def _from_kubeconfig(cli: Invocation, path: Path, context: str | None) -> dict[str, Any]:
    from ksnap.cli.kubeconfig import portable

    text = sys.stdin.read() if path == STDIN else read_text(path, "the kubeconfig")
    folder = Path.cwd() if path == STDIN else path.absolute().parent
    config = portable(text.encode(), folder=folder, context=context, read=Path.read_bytes)
    found: dict[str, Any] = {
        "auth_type": "kubeconfig",
        "api_server_url": config.api_server_url,
        "kubeconfig_content": base64.b64encode(config.content).decode(),
    }
    return found if config.verify_tls else {**found, "verify_ssl": False}


@connected(app, "list")
def list_clusters(cli: Invocation) -> None:
    """List the clusters."""
    clusters = cli.get("config", "clusters", "list").get("cluster_configs", [])
    columns = {"name": "name", "api server": "api_server_url", "auth": "auth_type", "registry": "registry_name"}
    cli.screen.rows(clusters, columns | {"repo": "repo", "verified": "verify_ssl"}, empty="No cluster is configured")


@connected(app, "status")
def status(cli: Invocation, name: Name) -> None:
    """Show what the cluster's nodes can do, as their agents report it."""
    reply = cli.get("cluster", "status", name)
    cli.screen.record(
        reply,
        {"cluster": "cluster_name", "status": "status", "agents": "daemonset_status", "last report": "last_update"},
    )
    columns = ("node", "status", "freeze", "restore", "runtime", "criu", "runc", "report", "reason")
    cli.screen.table([_node_row(each) for each in reply.get("nodes", [])], {each: each for each in columns})


def _node_row(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": node.get("name"),
        "status": node.get("status"),
        "freeze": node.get("checkpointing_enabled"),
        "restore": node.get("restore_supported"),
        "runtime": node.get("container_runtime"),
        "criu": node.get("criu_version"),
        "runc": node.get("runc_version"),
        "report": node.get("last_update"),
        "reason": node.get("reason") or (node.get("restore_reason") if node.get("restore_supported") == "none" else ""),
    }


@connected(app, "test")
def test(cli: Invocation, name: Name) -> None:
    """Test that the server reaches the cluster and may do there what it needs."""
    _test(cli, name)


def _test(cli: Invocation, name: str) -> None:
    reply = cli.ask("config", "clusters", "test", body={"name": name})
    cli.screen.record(reply)
    if reply.get("missing_rights"):
        cli.screen.warn(
            f"ksnap's account in {name} lacks rights that checkpoints and restores use; docs/guides/install.md has "
            "a role with all of them"
        )


@connected(app, "remove")
def remove(cli: Invocation, name: Name) -> None:
    """Forget a cluster and its credentials. What runs there stays as it is."""
    reply = cli.change("DELETE", "config", "clusters", "delete", body={"name": name})
    cli.screen.done(reply, f"Removed cluster {name}")
