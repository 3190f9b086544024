"""Objects as files: YAML or JSON, one or several, as a person would keep them. Pure.

An export is the object as it is, without `managedFields`, which are the API server's book-keeping. What a Secret holds
is left out unless it was asked for, also where `kubectl apply` has kept a copy of it. Follows the dashboard contract,
section 12.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from ksnap.errors import InvalidInput

Json = Mapping[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LEFT_OUT = "# What this Secret holds was left out; showSecrets=true exports it.\n"


class Format(StrEnum):
    YAML = "yaml"
    JSON = "json"
    TAR = "tar"
    """Of several objects: a YAML file for each."""


TEXT = "text/plain; charset=utf-8"
_MEDIA = {Format.YAML: TEXT, Format.JSON: TEXT, Format.TAR: "application/x-tar"}


@dataclass(frozen=True, slots=True)
class Export:
    """A file to be kept."""

    name: str
    media_type: str
    body: bytes


def format_of(word: str, *, several: bool = False) -> Format:
    """The format that a query names."""
    allowed = [each for each in Format if several or each is not Format.TAR]
    if word not in allowed:
        raise InvalidInput(f"export must be one of {', '.join(allowed)}", details=f"export: {word[:80]!r}")
    return Format(word)


def export_one(found: Json, form: Format, *, show_secrets: bool = False) -> Export:
    """One object, or a list of them as the API server gives it."""
    return Export(f"{file_stem(found)}.{form}", _MEDIA[form], _rendered(found, form, show_secrets=show_secrets))


def export_many(objects: Iterable[Json], form: Format, *, stem: str, show_secrets: bool = False) -> Export:
    """Several objects as one file, in their order."""
    bundle = Bundle(form, show_secrets=show_secrets)
    for each in objects:
        bundle.add(each)
    return bundle.export(stem)


class Bundle:
    """Objects that become documents of one file, the items of a `List`, or the members of a tar.

    Each is kept as the text that it becomes, which is a tenth of what it takes as an object.
    """

    def __init__(self, form: Format, *, show_secrets: bool = False) -> None:
        self._form = form
        self._text_form = Format.JSON if form is Format.JSON else Format.YAML
        self._show_secrets = show_secrets
        self._files: list[tuple[str, bytes]] = []
        self.size_bytes = 0

    def add(self, found: Json) -> None:
        body = _rendered(found, self._text_form, show_secrets=self._show_secrets)
        self._files.append((_member_name(found), body))
        self.size_bytes += len(body)

    def export(self, stem: str) -> Export:
        bodies = [body for _, body in self._files]
        match self._form:
            case Format.YAML:
                content = b"".join(b"---\n" + body for body in bodies)
            case Format.JSON:
                content = b'{"apiVersion": "v1", "kind": "List", "items": [\n' + b",\n".join(bodies) + b"]}\n"
            case Format.TAR:
                content = _tar(self._files)
        return Export(f"{stem}.{self._form}", _MEDIA[self._form], content)


def file_stem(found: Json) -> str:
    """`<kind>-<name>`, the kind in lower case."""
    kind = str(found.get("kind") or "object").lower()
    name = str((found.get("metadata") or {}).get("name") or "")
    return f"{kind}-{name}" if name else kind


def cleaned(found: Json, *, show_secrets: bool = False) -> dict[str, Any]:
    """The object without what no export has. The given one stays as it is."""
    kept = dict(found)
    if isinstance(kept.get("items"), list):
        kept["items"] = [cleaned(each, show_secrets=show_secrets) for each in items_of(found)]
    metadata = {name: value for name, value in (kept.get("metadata") or {}).items() if name != "managedFields"}
    if is_secret(found) and not show_secrets:
        kept.pop("data", None)
        kept.pop("stringData", None)
        metadata = _without_copy(metadata)
    if "metadata" in kept:
        kept["metadata"] = metadata
    return kept


def items_of(listed: Json) -> list[Json]:
    """A list's objects, each saying what it is: of many kinds the API server lets the list alone say that."""
    kind = str(listed.get("kind") or "").removesuffix("List")
    words = {"apiVersion": listed.get("apiVersion"), "kind": kind} if kind else {}
    return [{**words, **each} for each in listed.get("items") or []]


def is_secret(found: Json) -> bool:
    return found.get("kind") == "Secret" and found.get("apiVersion") == "v1"


def _without_copy(metadata: dict[str, Any]) -> dict[str, Any]:
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != LAST_APPLIED}
    kept = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**kept, "annotations": annotations} if annotations else kept


def _rendered(found: Json, form: Format, *, show_secrets: bool) -> bytes:
    content = cleaned(found, show_secrets=show_secrets)
    if form is Format.JSON:
        return _json(content)
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NEVER_FOLD)
    hidden = is_secret(found) and not show_secrets and ("data" in found or "stringData" in found)
    return (LEFT_OUT if hidden else "").encode() + text.encode("utf-8", "replace")


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _tar(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), 0o600
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def _member_name(found: Json) -> str:
    """`<namespace>/<kind>.<group>-<name>.yaml`: kinds of two groups may share a name."""
    metadata = found.get("metadata") or {}
    group = str(found.get("apiVersion") or "").rpartition("/")[0]
    kind = ".".join(part for part in (str(found.get("kind") or "object").lower(), group) if part)
    folder = str(metadata.get("namespace") or "cluster")
    # Names are Kubernetes', which have no slash; some kinds of roles have a colon, which is fine in a tar.
    return f"{folder}/{kind}-{metadata.get('name') or 'unnamed'}.yaml".replace("..", "__")


# YAML

_NEVER_FOLD = 1 << 30
# Plain text that YAML 1.1 or 1.2, or kubectl's parser, takes for something else, beyond what PyYAML quotes by itself.
_AMBIGUOUS = re.compile(
    r"[yYnN]|[-+]?(?:\.\d+|\d[\d_]*\.?[\d_]*)(?:[eE][-+]?\d+)?|[-+]?0[xXoObB][\da-fA-F_]+|[-+.\d_:]+"
)


class _Dumper(yaml.CSafeDumper):
    """Long texts as blocks, nothing shared between two places."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif _AMBIGUOUS.fullmatch(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
