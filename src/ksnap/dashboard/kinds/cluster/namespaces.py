"""Namespaces, with their quotas and limits in the detail."""

from collections.abc import Iterable

import msgspec

from ksnap.dashboard.kinds.common import Json, section, set_only
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.properties import text
from ksnap.dashboard.selection.shapes import Row, object_meta, type_meta
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Metadata, Part, Record
from ksnap.kube.watch.resource import Resource

QUOTAS = Resource("resourcequotas", "ResourceQuota", Record)
LIMIT_RANGES = Resource("limitranges", "LimitRange", Record)
_LIMITS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


class NamespaceStatus(Part, frozen=True):
    phase: str = ""


class Namespace(Record, frozen=True):
    status: NamespaceStatus = NamespaceStatus()


def _row(namespace: Namespace, _around: Around) -> Row:
    return {"phase": namespace.status.phase}


NAMESPACES = Kind(
    Resource("namespaces", "Namespace", Namespace, namespaced=False),
    type_name="namespace",
    row=_row,
    items="namespaces",
    properties=(text("phase", lambda namespace: namespace.status.phase),),
)


def namespace_detail(found: Json, quotas: Iterable[Json], ranges: Iterable[Json]) -> Row:
    shown = [_quota(each) for each in quotas]
    return detail_of(
        NAMESPACES,
        found,
        resourceQuotaList={"listMeta": {"totalItems": len(shown)}, "items": shown},
        resourceLimits=[
            limit
            for each in ranges
            for item in section(each, "spec").get("limits") or ()
            for limit in _limits_of_item(item)
        ],
    )


def _quota(found: Json) -> Row:
    status = section(found, "status")
    hard, used = section(status, "hard"), section(status, "used")
    return {
        "objectMeta": object_meta(msgspec.convert(section(found, "metadata"), Metadata)),
        "typeMeta": type_meta("resourcequota"),
        **set_only(scopes=section(found, "spec").get("scopes")),
        "statusList": {name: {"used": used.get(name, "0"), "hard": limit} for name, limit in hard.items()},
    }


def _limits_of_item(item: Json) -> list[Row]:
    """One for each resource that the item says anything of."""
    names = dict.fromkeys(name for limit in _LIMITS for name in section(item, limit))
    return [
        {
            "resourceName": name,
            "resourceType": item.get("type", ""),
            **set_only(**{limit: section(item, limit).get(name) for limit in _LIMITS}),
        }
        for name in names
    ]
