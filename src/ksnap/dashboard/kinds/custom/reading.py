"""What of custom resources is read: the definition and single objects as the caller, lists out of the watch caches."""

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import FIRST_TEN, Query, events_by_name, read, sub_list_owner
from ksnap.dashboard.kinds.cluster.definitions import DEFINITIONS, definition_detail
from ksnap.dashboard.kinds.custom.objects import Custom, custom_of, custom_row, list_body
from ksnap.dashboard.selection.lists import Answer, Lists
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.statuses import ErrStatus, err_status
from ksnap.errors import NotFound


async def read_definition(lists: Lists, at: ClusterAsCaller, name: str, *, fresh: bool = False) -> Row:
    """CustomResourceDefinitionDetail, with its first objects. A definition of which nothing is served (not yet, or not
    any more) is shown all the same."""
    found = await read(at, DEFINITIONS.resource, name)
    custom = custom_of(found)
    try:
        objects = (await list_objects(lists, at, custom, query=FIRST_TEN, fresh=fresh)).body
    except NotFound as error:
        objects = {"typeMeta": custom.list_meta, **_no_objects([err_status(error)])}
    return {**definition_detail(found, custom.shown), "objects": objects}


def _no_objects(errors: list[ErrStatus]) -> Row:
    return {"listMeta": {"totalItems": 0}, "items": [], "errors": errors}


async def find_custom(at: ClusterAsCaller, definition: str) -> Custom:
    """KubeRefusal (404, 403) for a definition that is not there or not for the caller to see."""
    return custom_of(await read(at, DEFINITIONS.resource, definition))


async def list_by_definition(
    lists: Lists, at: ClusterAsCaller, definition: str, *, namespaces: str, query: Query, fresh: bool = False
) -> Answer:
    """CustomResourceObjectList. Who may not see the definition cannot be told what its objects are."""
    found, errors = await sub_list_owner(at, DEFINITIONS.resource, definition)
    if found is None:
        return Answer({"typeMeta": {}, **_no_objects(errors)})
    return await list_objects(lists, at, custom_of(found), namespaces=namespaces, query=query, fresh=fresh)


async def list_objects(
    lists: Lists, at: ClusterAsCaller, custom: Custom, *, namespaces: str = "", query: Query = (), fresh: bool = False
) -> Answer:
    answer = await lists.answer(custom.kind, at, namespaces=namespaces, query=query, fresh=fresh)
    return Answer(list_body(custom, answer.body), answer.warnings, answer.age_s)


async def read_object(at: ClusterAsCaller, definition: str, namespace: str, name: str) -> Row:
    """CustomResourceObjectDetail. The namespace is not looked at if the resource has none."""
    custom = await find_custom(at, definition)
    return custom_row(custom, await read(at, custom.kind.resource, name, namespace if custom.namespaced else ""))


async def object_events(
    lists: Lists,
    at: ClusterAsCaller,
    definition: str,
    namespace: str,
    name: str,
    *,
    query: Query = (),
    fresh: bool = False,
) -> Answer:
    custom = await find_custom(at, definition)
    where = namespace if custom.namespaced else ""
    return await events_by_name(lists, at, custom.kind.resource, name, where, query=query, fresh=fresh)
