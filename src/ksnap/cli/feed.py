"""The client's side of `/progress/events`: server-sent events, and a place that outlives a connection.

The last id is kept, so that a connection that was lost, or a server that was restarted, costs time and no event.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

import aiohttp

from ksnap.cli.api import Api, Json
from ksnap.errors import KsnapError, RateLimited, Unavailable, by_code

# From a restart's second to a time that spares a server which is away for long.
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# Far longer than any line of the server's.
LINE_LIMIT = 1 << 20


async def follow(
    api: Api,
    query: Mapping[str, object],
    *,
    since: int | None,
    show: Callable[[Json], None],
    note: Callable[[str], None],
) -> None:
    """Show each event, without an end. What never worked is raised; what was lost is taken up again."""
    place, failures = since, 0
    connected = False
    while True:
        try:
            async with aclosing(_events(api, {**query, "after": place})) as events:
                async for identifier, event in events:
                    connected, failures, place = True, 0, identifier
                    if event is not None:
                        show(event)
            reason = "The server has ended the connection"
        except (Unavailable, RateLimited) as error:
            if not connected:
                raise
            reason = error.message
        pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
        failures += 1
        note(f"{reason}; connecting again in {pause:g} s")
        await asyncio.sleep(pause)


async def _events(api: Api, query: Mapping[str, object]) -> AsyncGenerator[tuple[int, Json | None]]:
    """Ids with their events; an id alone says where to go on. A failure that the server tells is raised."""
    async with api.stream("progress", "events", query=query, headers={"Accept": "text/event-stream"}) as response:
        async for fields in _blocks(response.content):
            try:
                data: Json | None = json.loads(fields["data"]) if "data" in fields else None
                identifier = int(fields["id"]) if "id" in fields else None
            except ValueError as error:
                raise _foreign(api) from error
            if fields.get("event") == "failure" and data is not None:
                raise _failure(data)
            if identifier is not None:
                yield identifier, data


async def _blocks(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, str]]:
    """The blocks of a stream of server-sent events (HTML standard, 9.2.6), whose data are one line here."""
    fields: dict[str, str] = {}
    async for line in _lines(content):
        if not line:
            yield fields
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for each in lines:
            yield each.decode("utf-8", "replace")
        if len(rest) > LINE_LIMIT:
            raise Unavailable("The answer is too long", details=f"a line of more than {LINE_LIMIT} bytes")


def _failure(envelope: Json) -> KsnapError:
    kind = by_code(str(envelope.get("code", "")))
    return kind(str(envelope.get("error", "")), details=str(envelope.get("details", "")))


def _foreign(api: Api) -> Unavailable:
    return Unavailable("The answer is not a ksnap server's", details=f"{api.server}: no server-sent events")
