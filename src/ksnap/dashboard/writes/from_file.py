"""Objects out of a text, created in its order: all of them, or none that stays.

With `validate` the API server is asked first what it would say to each (a server-side dry run). What an earlier object
of the same text has yet to make, a namespace or a kind, cannot be asked about before.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.discovery import Kind
from ksnap.dashboard.statuses import message_of
from ksnap.dashboard.writes.documents import namespace_for
from ksnap.dashboard.writes.undo import Created, undo
from ksnap.errors import InvalidInput, KsnapError, NotFound
from ksnap.kube.connection import Json
from ksnap.kube.failures import KubeRefusal

# The API server serves a new kind some tenths of a second after its definition was created.
NEW_KIND_S = 10.0
DRY_RUN = {"dryRun": "All"}
# Of one object's refusal, where several are told of in one text.
_TOLD = 500


@dataclass(frozen=True, slots=True)
class _Planned:
    """An object and what is known of it before the first is created."""

    document: Json
    what: str
    follows: bool
    """Its namespace or its kind is made by the same text."""


async def create_all(
    at: ClusterAsCaller, documents: Sequence[Json], namespace: str, *, validate: bool
) -> list[Created]:
    """Create the objects; the error of the first that fails, after those before it were taken away again."""
    plan = _plan(documents)
    if validate:
        await _validate(at, plan, namespace)
    created: list[Created] = []
    try:
        for each in plan:
            created.append(await _create(at, each, namespace))
    except (KsnapError, asyncio.CancelledError) as error:
        stayed = await undo(at, created)
        if stayed and isinstance(error, KsnapError):
            raise _left_behind(error, stayed) from error
        raise
    return created


def _plan(documents: Sequence[Json]) -> list[_Planned]:
    namespaces: set[str] = set()
    kinds: set[tuple[str, str]] = set()
    plan = []
    for each in documents:
        metadata, spec = each["metadata"], each.get("spec")
        group = str(each["apiVersion"]).rpartition("/")[0]
        follows = metadata.get("namespace") in namespaces or (group, each["kind"]) in kinds
        name = metadata.get("name") or f"{metadata.get('generateName')}*"
        plan.append(_Planned(each, f"{each['kind']} {name}"[:200], follows))
        if (group, each["kind"]) == ("", "Namespace"):
            namespaces.add(metadata.get("name"))
        if each["kind"] == "CustomResourceDefinition" and isinstance(spec, dict):
            kinds.add((str(spec.get("group")), str((spec.get("names") or {}).get("kind"))))
    return plan


async def _validate(at: ClusterAsCaller, plan: Sequence[_Planned], namespace: str) -> None:
    """InvalidInput that tells of each object that would be refused."""
    problems = []
    for each in plan:
        if each.follows:
            continue
        try:
            kind = await at.kinds.of(each.document["apiVersion"], each.document["kind"])
            path = _path(kind, each, namespace)
            await at.api.post(path, each.document, what=each.what, params=DRY_RUN)
        except InvalidInput as error:
            problems.append(f"{each.what}: {error.message}")
        except KsnapError as error:
            if error.status >= 500 or error.status == 401:
                raise
            problems.append(f"{each.what}: {message_of(error)[:_TOLD]}")
    if problems:
        raise InvalidInput("Nothing was created, since not all of it is valid", details="; ".join(problems))


async def _create(at: ClusterAsCaller, planned: _Planned, namespace: str) -> Created:
    kind = await _kind(at, planned)
    made = await at.api.post(_path(kind, planned, namespace), planned.document, what=planned.what)
    metadata = made["metadata"]
    return Created(kind, metadata.get("namespace", ""), metadata["name"], metadata["uid"])


async def _kind(at: ClusterAsCaller, planned: _Planned) -> Kind:
    give_up_at = time.monotonic() + NEW_KIND_S
    while True:
        try:
            return await at.kinds.of(planned.document["apiVersion"], planned.document["kind"])
        except NotFound:  # each costs discovery's own pause, so this is no busy loop
            if not planned.follows or time.monotonic() > give_up_at:
                raise


def _path(kind: Kind, planned: _Planned, namespace: str) -> str:
    version = str(planned.document["apiVersion"]).rpartition("/")[2]
    where = namespace_for(planned.document, namespace, namespaced=kind.namespaced)
    return kind.path(where, version=version)


def _left_behind(error: KsnapError, stayed: Sequence[Created]) -> KsnapError:
    names = ", ".join(each.what for each in stayed)
    message = f"{message_of(error)}; created before, and not taken away again: {names}"
    return KubeRefusal(error.status, {**error.body, "message": message}) if isinstance(error, KubeRefusal) else error
