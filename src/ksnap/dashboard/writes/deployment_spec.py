"""A form for one application, and the objects that it stands for: a deployment and, with ports, a service. Pure."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from ksnap.dashboard.writes.known_kinds import DEPLOYMENT, SERVICE
from ksnap.errors import InvalidInput
from ksnap.kube.connection import Json

DESCRIPTION = "description"
# What the Dashboard's own page labels an application with, for those who give no label: a selector needs one.
APP_LABEL = "k8s-app"


@dataclass(frozen=True, slots=True)
class PortMapping:
    port: int
    target_port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class AppSpec:
    """The contract's body of `POST /appdeployment`."""

    name: str
    namespace: str
    image: str
    replicas: int
    image_pull_secret: str = ""
    command: str = ""
    arguments: str = ""
    ports: tuple[PortMapping, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    is_external: bool = False
    description: str = ""
    memory: str = ""
    cpu: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    privileged: bool = False

    @property
    def label_map(self) -> dict[str, str]:
        return dict(self.labels) or {APP_LABEL: self.name}


def deployment_of(spec: AppSpec) -> Json:
    """Labels, selector and the pods' labels are the same."""
    pod: Json = {"containers": [_container(spec)]}
    if spec.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": spec.image_pull_secret}]
    metadata = _metadata(spec)
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": metadata,
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": spec.label_map},
            "template": {"metadata": metadata, "spec": pod},
        },
    }


def service_of(spec: AppSpec, random_name: Callable[[int], str]) -> Json | None:
    """For the ports, if there are any. `random_name` makes their names different, as they must be."""
    if not spec.ports:
        return None
    ports = [
        {
            "name": f"{each.protocol.lower()}-{each.port}-{each.target_port}-{random_name(5)}",
            "port": each.port,
            "targetPort": each.target_port,
            "protocol": each.protocol,
        }
        for each in spec.ports
    ]
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": _metadata(spec),
        "spec": {
            "selector": spec.label_map,
            "type": "LoadBalancer" if spec.is_external else "ClusterIP",
            "ports": ports,
        },
    }


def words(field: str, text: str) -> list[str]:
    """A command line taken apart as a shell does it, quotes and all, with nothing expanded."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidInput("A command line cannot be taken apart", details=f"{field}: {error}") from None


def _container(spec: AppSpec) -> Json:
    container: Json = {
        "name": spec.name,
        "image": spec.image,
        "securityContext": {"privileged": spec.privileged},
        "env": [{"name": name, "value": value} for name, value in spec.variables],
    }
    if spec.command:
        container["command"] = words("containerCommand", spec.command)
    if spec.arguments:
        container["args"] = words("containerCommandArgs", spec.arguments)
    requests = {name: amount for name, amount in (("cpu", spec.cpu), ("memory", spec.memory)) if amount}
    return {**container, "resources": {"requests": requests}} if requests else container


def _metadata(spec: AppSpec) -> Json:
    metadata: Json = {"name": spec.name, "labels": spec.label_map}
    return {**metadata, "annotations": {DESCRIPTION: spec.description}} if spec.description else metadata
