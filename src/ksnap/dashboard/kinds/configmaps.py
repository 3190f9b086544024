"""Config maps: their metadata alone. What is in them never comes here: the API server is asked to leave it out."""

from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource


class ConfigMap(Record, frozen=True):
    """Nothing but metadata."""


def _row(_record: ConfigMap, _around: Around) -> Row:
    return {}


CONFIG_MAPS = Kind(Resource("configmaps", "ConfigMap", ConfigMap, form="metadata"), type_name="configmap", row=_row)
