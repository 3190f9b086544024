"""Kubernetes objects out of a text of YAML or JSON, of one document or many. Pure.

Kubernetes reads a time or a date as the text that it is, and so does this. A text that refers to its own parts can
stand for far more than it holds: what it comes to is bounded.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from ksnap.dashboard.statuses import EMPTY_NAMESPACE, NAMESPACE_MISMATCH
from ksnap.errors import InvalidInput
from ksnap.kube.connection import Json

ALL_NAMESPACES = "_all"
# A thousand objects of some size. Each value and each name counts as one.
MOST_VALUES = 500_000
MOST_OBJECTS = 1000
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError, OverflowError)


class _Loader(yaml.CSafeLoader):
    """Texts stay texts."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def objects_in(text: str) -> list[Json]:
    """The objects of a text, in their order; a `List` counts as its items. InvalidInput if it holds none."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except _NOT_YAML as error:
        raise _invalid(_place(error)) from None
    _check_size(documents)
    found = [each for number, document in enumerate(documents, 1) for each in _objects(document, number)]
    if not found:
        raise _invalid("it holds no object")
    if len(found) > MOST_OBJECTS:
        raise _invalid(f"it holds {len(found)} objects; at most {MOST_OBJECTS} are taken")
    return found


def namespace_for(found: Json, asked: str, *, namespaced: bool) -> str:
    """Where an object goes: to the namespace that was asked for, or with `_all` (or none) to its own."""
    own = str(found["metadata"].get("namespace") or "")
    if not namespaced:
        return ""
    if asked in {ALL_NAMESPACES, ""}:
        if not own:
            raise InvalidInput(EMPTY_NAMESPACE)
        return own
    if own and own != asked:
        raise InvalidInput(NAMESPACE_MISMATCH)
    return asked


def _objects(document: Any, number: int) -> Iterable[Json]:
    if document is None:
        return
    if not isinstance(document, dict):
        raise _invalid(f"document {number} is no object")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for each in document["items"]:
            yield from _objects(each, number)
        return
    if not isinstance(document.get("kind"), str) or not isinstance(document.get("apiVersion"), str):
        raise _invalid(f"document {number} has no kind or no apiVersion")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise _invalid(f"document {number} ({document['kind'][:100]}) has no name")
    if not all(isinstance(metadata.get(each), str | None) for each in ("name", "generateName", "namespace")):
        raise _invalid(f"document {number} ({document['kind'][:100]}) has a name that is no text")
    yield document


def _check_size(documents: list[Any]) -> None:
    left, open_values = MOST_VALUES, list(documents)
    while open_values:
        value = open_values.pop()
        left -= 1
        if left < 0:
            raise _invalid(f"it stands for more than {MOST_VALUES} values")
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise _invalid("a name in it is no text")
            left -= len(value)
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or "it cannot be read")
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}" if mark else problem


def _invalid(problem: str) -> InvalidInput:
    return InvalidInput("The text holds no Kubernetes objects", details=f"content: {problem}")
