"""What a config map holds; its list knows metadata alone."""

from ksnap.dashboard.kinds.common import Json, set_only
from ksnap.dashboard.kinds.configmaps import CONFIG_MAPS
from ksnap.dashboard.kinds.plain import detail_of
from ksnap.dashboard.selection.shapes import Row


def config_map_detail(found: Json) -> Row:
    """Binary data is not shown (contract, section 15); it can be exported."""
    return detail_of(CONFIG_MAPS, found, **set_only(data=found.get("data")))
