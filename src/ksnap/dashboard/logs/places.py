"""A place in a log that is followed: what to come back with to miss no line and see none twice. Pure.

The last timestamp that was seen alone would not do: the API server starts at whole seconds, and lines may share one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ksnap.dashboard.logs.lines import is_rfc3339
from ksnap.errors import InvalidInput

LONGEST = 4096
_PART = re.compile(r"([a-z0-9-]{1,63})=([0-9T:.Z+-]{20,40})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Place:
    """Behind so many of the lines that have this timestamp."""

    timestamp: str
    lines: int


Places = Mapping[str, Place]
"""By container."""


def write_places(places: Places) -> str:
    """As the id of an event."""
    return ",".join(f"{container}={place.timestamp}/{place.lines}" for container, place in places.items())


def read_places(text: str) -> dict[str, Place]:
    """The places in an id; none in an empty one."""
    found: dict[str, Place] = {}
    for part in filter(None, text.split(",")):
        parsed = _PART.fullmatch(part)
        if parsed is None or len(text) > LONGEST or not is_rfc3339(parsed[2]):
            raise InvalidInput(
                "The place in the log cannot be read",
                details=f"after: {text[:80]!r}",
                hint="Come back with the id of an event, as it came",
            )
        found[parsed[1]] = Place(parsed[2], int(parsed[3]))
    return found
