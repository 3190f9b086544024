"""Where a pod may go, as far as its author and the nodes' labels say, and what those nodes can. Pure.

Only labels and names are looked at, as the scheduler does (`nodeSelector`, required node affinity): what a node has
room for changes by the second. A node that is cordoned counts for nothing, since nothing new goes there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksnap.model.checkpoint_key import RESTORE_LABEL


@dataclass(frozen=True, slots=True)
class Node:
    """What a decision needs of a node."""

    name: str
    labels: Mapping[str, str]
    is_schedulable: bool
    restores_images: bool = False
    architecture: str = ""
    has_class: bool = True
    """Whether its cluster has the RuntimeClass; without it a pod that names it would be refused."""

    @property
    def has_runtime(self) -> bool:
        return self.has_class and self.labels.get(RESTORE_LABEL) == "runtime"


def allowed_nodes(spec: Mapping[str, Any], nodes: Iterable[Node]) -> list[Node]:
    """The nodes that the pod's own words let it go to."""
    selector = spec.get("nodeSelector") or {}
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = (required or {}).get("nodeSelectorTerms")
    return [
        node
        for node in nodes
        if node.is_schedulable
        and spec.get("nodeName") in {None, "", node.name}
        and all(node.labels.get(name) == value for name, value in selector.items())
        and (terms is None or any(_term(term, node) for term in terms))
    ]


def _term(term: Mapping[str, Any], node: Node) -> bool:
    """All expressions of a term hold; an empty term matches nothing (core/v1, NodeSelectorTerm)."""
    labels, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not labels and not fields:
        return False
    return all(_expression(each, node.labels) for each in labels) and all(
        _expression(each, {"metadata.name": node.name}) for each in fields
    )


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    holds = {
        "In": lambda: labels.get(key) in values,
        "NotIn": lambda: labels.get(key) not in values,
        "Exists": lambda: key in labels,
        "DoesNotExist": lambda: key not in labels,
        "Gt": lambda: _number(labels.get(key), values, greater=True),
        "Lt": lambda: _number(labels.get(key), values, greater=False),
    }.get(expression["operator"])
    # An operator of a later version: the pod is left alone rather than sent where it cannot run.
    return holds is not None and holds()


def _number(value: str | None, values: Sequence[str], *, greater: bool) -> bool:
    try:
        has, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return has > bound if greater else has < bound
