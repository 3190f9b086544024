"""One object, and what belongs to it: read at the API server as the caller (architecture, decision 8).

What is missing or forbidden of the object itself is the request's failure; a 403 for something beside it is an item of
`errors`, and the answer goes out without it (contract, section 3).
"""

from collections.abc import Collection, Iterable
from typing import Any

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.kinds.events import EVENTS, Event, about
from ksnap.dashboard.selection.lists import Answer, Lists
from ksnap.dashboard.selection.views import Around, View
from ksnap.dashboard.statuses import ErrStatus, add_error
from ksnap.kube.failures import KubeRefusal
from ksnap.kube.watch.resource import Resource

Json = dict[str, Any]
Query = Iterable[tuple[str, str]]
FIRST_TEN = (("itemsPerPage", "10"), ("page", "1"))
"""What a list inside of a detail holds."""


async def read(at: ClusterAsCaller, resource: Resource[Any], name: str, namespace: str = "") -> Json:
    """One object as the caller; KubeRefusal with the API server's status if it is missing or not theirs to see."""
    what = f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}"
    return await at.api.get(resource.path(namespace, name), what=what)


async def read_beside(
    at: ClusterAsCaller, resource: Resource[Any], name: str, namespace: str, errors: list[ErrStatus]
) -> Json | None:
    """An object that another one's detail looks at; None if it is gone, or forbidden, which `errors` then says."""
    try:
        return await read(at, resource, name, namespace)
    except KubeRefusal as error:
        if error.status == 403:
            add_error(errors, error)
            return None
        if error.status == 404:
            return None
        raise


async def sub_list_owner(
    at: ClusterAsCaller, resource: Resource[Any], name: str, namespace: str = ""
) -> tuple[Json | None, list[ErrStatus]]:
    """Whose sub-list is asked for: KubeRefusal (404) if it is missing; None and the 403 if it may not be seen."""
    try:
        return await read(at, resource, name, namespace), []
    except KubeRefusal as error:
        if error.status != 403:
            raise
        errors: list[ErrStatus] = []
        add_error(errors, error)
        return None, errors


async def events_of(
    lists: Lists,
    at: ClusterAsCaller,
    resource: Resource[Any],
    name: str,
    namespace: str = "",
    *,
    uid: str = "",
    query: Query = (),
    fresh: bool = False,
) -> Answer:
    """An object's EventList: those of its kind, name and uid. Without a uid those of all that had the name."""

    def only(events: View[Event], _around: Around) -> Collection[Event]:
        return about(events, resource.kind, namespace, name, uid)

    return await lists.answer(EVENTS, at, namespaces=namespace, query=query, fresh=fresh, only=only)


async def events_by_name(
    lists: Lists,
    at: ClusterAsCaller,
    resource: Resource[Any],
    name: str,
    namespace: str = "",
    *,
    query: Query = (),
    fresh: bool = False,
) -> Answer:
    """The answer of `/{kind}/.../event`. Who may see events but not the object gets those of all that had its name."""
    owner, _ = await sub_list_owner(at, resource, name, namespace)
    uid = str((owner or {}).get("metadata", {}).get("uid", ""))
    return await events_of(lists, at, resource, name, namespace, uid=uid, query=query, fresh=fresh)


def with_errors(answer: Answer, errors: list[ErrStatus]) -> Answer:
    """The same answer with further items in `errors`."""
    known = answer.body["errors"]
    answer.body["errors"] = [*known, *(each for each in errors if each not in known)]
    return answer


def all_errors(*parts: Iterable[ErrStatus]) -> list[ErrStatus]:
    """What the parts of an answer lack, each told once."""
    found: list[ErrStatus] = []
    for each in (error for part in parts for error in part):
        if each not in found:
            found.append(each)
    return found
