"""Label selectors as the API server takes them in a query (apimachinery, meta/v1 LabelSelector)."""

from collections.abc import Mapping
from typing import Any

NOTHING = "!a,a"
"""Selects no object: an absent selector selects none, where an empty one selects all."""


def label_selector(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector, or the plain map of a ReplicationController or Service, as text."""
    if selector is None:
        return NOTHING
    if not {"matchLabels", "matchExpressions"} & set(selector):
        return ",".join(f"{name}={value}" for name, value in selector.items())
    terms = [f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items()]
    terms += [_term(each) for each in selector.get("matchExpressions") or []]
    return ",".join(terms)


def _term(expression: Mapping[str, Any]) -> str:
    key, values = expression["key"], ",".join(expression.get("values") or [])
    match expression["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case _:
            return f"!{key}"
