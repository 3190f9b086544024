"""Custom objects as files: whole ones, read at the API server as the caller, since the watch caches have only rows.

What is exported is what the list shows: the same namespaces, filters, order and page. An export is never silently a
part: what may not be listed is the request's failure.
"""

from collections.abc import AsyncIterator, Iterable

from ksnap.dashboard.context import ClusterAsCaller
from ksnap.dashboard.details import Query
from ksnap.dashboard.export import Export, export_many, format_of, items_of
from ksnap.dashboard.kinds.common import Json, as_record
from ksnap.dashboard.kinds.custom.objects import Custom, CustomObject
from ksnap.dashboard.kinds.custom.reading import find_custom
from ksnap.dashboard.selection.access import parse_namespaces
from ksnap.dashboard.selection.pipeline import pick
from ksnap.dashboard.selection.query import parse
from ksnap.errors import InvalidInput
from ksnap.kube.watch.objects import Objects

PAGE = 500
# A file is made in memory. Objects are some kilobytes each, and a person reads no longer file.
MOST = 5_000


async def export_objects(at: ClusterAsCaller, definition: str, *, namespaces: str, query: Query, form: str) -> Export:
    """A file with the objects of a definition."""
    wanted = format_of(form, several=True)
    custom = await find_custom(at, definition)
    asked = parse_namespaces(namespaces) if custom.namespaced else ()
    found: list[Json] = []
    for namespace in asked or ("",):
        async for page in _pages(at, custom, namespace):
            found += page
            if len(found) > MOST:
                raise InvalidInput(
                    "There are too many objects for one file",
                    details=f"more than {MOST}",
                    hint="Export some namespaces at a time, or only objects with a part of a name: filterBy=name,x",
                )
    return export_many(_selected(custom, found, query), wanted, stem=definition)


async def _pages(at: ClusterAsCaller, custom: Custom, namespace: str) -> AsyncIterator[list[Json]]:
    resource, params = custom.kind.resource, {"limit": str(PAGE)}
    while True:
        listed = await at.api.get(resource.path(namespace), what=f"list of {resource}", params=params)
        yield [dict(each) for each in items_of(listed)]
        go_on = (listed.get("metadata") or {}).get("continue")
        if not go_on:
            return
        params["continue"] = go_on


def _selected(custom: Custom, found: Iterable[Json], query: Query) -> list[Json]:
    """As the list selects: by the same records."""
    objects: Objects[CustomObject] = Objects()
    by_key = {}
    for each in found:
        record = as_record(custom.kind.resource, each)
        objects.put(record)
        by_key[record.key] = each
    picked = pick(objects, parse(query, custom.kind.selectable))
    return [by_key[each.key] for each in picked.page]
