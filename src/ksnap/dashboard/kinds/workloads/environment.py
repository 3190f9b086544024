"""A container's variables with their values, as the kubelet would set them (its `makeEnvironmentVariables`). Pure.

What they refer to is given: `references` says which config maps and secrets that is. The values of secrets are hidden
unless they were asked for; a reference that leads nowhere has an empty value, like one that is optional.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING
from typing import Any

from ksnap.dashboard.kinds.common import Json, section
from ksnap.model.quantity import parse

Row = dict[str, Any]
WHOLE_NODE = "node allocatable"
"""What a container without a limit may use."""


@dataclass(frozen=True, slots=True)
class References:
    """What a pod's variables refer to, by name."""

    config_maps: frozenset[str]
    secrets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects that were there and could be read, by name."""

    config_maps: Mapping[str, Json] = field(default_factory=dict)
    secrets: Mapping[str, Json] = field(default_factory=dict)
    show_secrets: bool = False


def references(pod: Json, *, show_secrets: bool) -> References:
    """What has to be read. Of a secret that only a single variable names, nothing but its value could be told."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for container in all_containers(pod):
        for each in container.get("envFrom") or ():
            config_maps.add(section(each, "configMapRef").get("name", ""))
            secrets.add(section(each, "secretRef").get("name", ""))
        for each in container.get("env") or ():
            config_maps.add(section(each, "valueFrom", "configMapKeyRef").get("name", ""))
            if show_secrets:
                secrets.add(section(each, "valueFrom", "secretKeyRef").get("name", ""))
    return References(frozenset(config_maps - {""}), frozenset(secrets - {""}))


def all_containers(pod: Json) -> Iterator[Json]:
    spec = section(pod, "spec")
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def environment(container: Json, pod: Json, sources: Sources) -> list[Row]:
    """The contract's `env`: single variables, then those of whole config maps and secrets that they do not replace."""
    single = [_variable(each, container, pod, sources) for each in container.get("env") or ()]
    taken = {each["name"] for each in single}
    whole: dict[str, Row] = {}
    for each in container.get("envFrom") or ():
        whole |= {row["name"]: row for row in _from_all_of(each, sources) if row["name"] not in taken}
    return [*single, *whole.values()]


def _variable(variable: Json, container: Json, pod: Json, sources: Sources) -> Row:
    name, source = variable.get("name", ""), variable.get("valueFrom")
    if not isinstance(source, dict):
        return _row(name, variable.get("value", ""), None)
    if "secretKeyRef" in source:
        reference = source["secretKeyRef"]
        value = _data(sources.secrets, reference.get("name", "")).get(reference.get("key", ""), "")
        return _secret_row(name, value, source, sources)
    if "configMapKeyRef" in source:
        reference = source["configMapKeyRef"]
        data = _data(sources.config_maps, reference.get("name", ""))
        return _row(name, data.get(reference.get("key", ""), ""), source)
    if "fieldRef" in source:
        return _row(name, field_value(source["fieldRef"].get("fieldPath", ""), pod), source)
    if "resourceFieldRef" in source:
        return _row(name, resource_value(source["resourceFieldRef"], container, pod), source)
    return _row(name, "", source)


def _from_all_of(source: Json, sources: Sources) -> Iterable[Row]:
    """One variable for each key of a config map or secret."""
    prefix = source.get("prefix", "")
    if "configMapRef" in source:
        name = source["configMapRef"].get("name", "")
        for key, value in sorted(_data(sources.config_maps, name).items()):
            yield _row(prefix + key, value, {"configMapKeyRef": {"name": name, "key": key}})
    if "secretRef" in source:
        name = source["secretRef"].get("name", "")
        for key, value in sorted(_data(sources.secrets, name).items()):
            yield _secret_row(prefix + key, value, {"secretKeyRef": {"name": name, "key": key}}, sources)


def _row(name: str, value: str, source: Json | None) -> Row:
    return {"name": name, "value": value, "valueFrom": source}


def _secret_row(name: str, value: str, source: Json, sources: Sources) -> Row:
    """A secret's value, in base64 as the Secret has it, or that it is hidden."""
    if sources.show_secrets:
        return _row(name, value, source)
    return {**_row(name, "", source), "hidden": True}


def _data(found: Mapping[str, Json], name: str) -> Mapping[str, str]:
    data: Mapping[str, str] = section(found.get(name, {}), "data")
    return data


_PATHS: Mapping[str, tuple[str, ...]] = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "status.hostIP": ("status", "hostIP"),
    "status.podIP": ("status", "podIP"),
}
_ADDRESSES = {"status.hostIPs": "hostIPs", "status.podIPs": "podIPs"}
_MAPS = ("metadata.labels", "metadata.annotations")


def field_value(path: str, pod: Json) -> str:
    """A field of the pod (Kubernetes' downward API, "Information available via fieldRef")."""
    if path in _PATHS:
        *outer, last = _PATHS[path]
        return str(section(pod, *outer).get(last) or "")
    if path in _ADDRESSES:
        return ",".join(each.get("ip", "") for each in section(pod, "status").get(_ADDRESSES[path]) or ())
    whole, _, key = path.partition("[")
    if whole not in _MAPS:
        return ""
    values = section(pod, *whole.split("."))
    if key:
        return str(values.get(key.rstrip("]").strip("'\""), ""))
    return "\n".join(f"{name}={json.dumps(text, ensure_ascii=False)}" for name, text in sorted(values.items()))


def resource_value(reference: Json, container: Json, pod: Json) -> str:
    """A container's request or limit in units of a divisor, rounded up."""
    named = reference.get("containerName") or container.get("name")
    of = next((each for each in all_containers(pod) if each.get("name") == named), {})
    kind, _, resource = reference.get("resource", "").partition(".")
    amount = _number(section(of, "resources", kind).get(resource))
    if not amount and kind == "limits":
        return WHOLE_NODE
    # The API server writes a divisor that was not given as "0".
    return str(int((amount / (_number(reference.get("divisor")) or 1)).to_integral_value(ROUND_CEILING)))


def _number(quantity: object) -> Any:
    try:
        return parse(str(quantity or "0"))
    except ValueError:
        return parse("0")
