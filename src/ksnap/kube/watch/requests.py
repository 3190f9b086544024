"""The three requests of a watch cache: the whole list by pages, the present version, and the stream of changes."""

import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from ksnap.kube.connection import ERROR_BODY_LIMIT, ClusterConnection
from ksnap.kube.failures import ClusterUnreachable, from_status
from ksnap.kube.watch.decoding import Decoder
from ksnap.kube.watch.records import Record
from ksnap.kube.watch.resource import Resource

R = TypeVar("R", bound=Record)

# What kubectl asks for as well: a page of pods is some 3 MB, decoded in some milliseconds.
PAGE = 500
# A list whose every continuation expires is never complete.
LIST_ATTEMPTS = 3
# One line of a watch is one object; etcd's own limit for it is 1.5 MiB.
LINE_LIMIT = 4 << 20
# The API server ends a watch by itself after so long; each at another moment, so that not all begin anew at once.
WATCH_S = (240, 300)


class VersionGone(ClusterUnreachable):
    """The API server no longer knows what happened since our version: list anew."""


async def list_all(
    connection: ClusterConnection, resource: Resource[R], decoder: Decoder[R], *, page: int = PAGE
) -> tuple[str, list[R]]:
    """The list's version and all its records. Begins again if the continuation expires (410) on the way."""
    for _ in range(LIST_ATTEMPTS - 1):
        try:
            return await _list_once(connection, resource, decoder, page)
        except VersionGone:
            continue
    return await _list_once(connection, resource, decoder, page)


async def _list_once(
    connection: ClusterConnection, resource: Resource[R], decoder: Decoder[R], page: int
) -> tuple[str, list[R]]:
    records: list[R] = []
    params = {"limit": str(page)}
    while True:
        content = await _read(connection, resource, params)
        try:
            metadata, found = decoder.page(content)
        except msgspec.DecodeError as error:
            raise _not_understood(connection, resource, error) from error
        records += found
        if not metadata.continue_:
            return metadata.resource_version, records
        params["continue"] = metadata.continue_


async def current_version(connection: ClusterConnection, resource: Resource[Any], decoder: Decoder[Any]) -> str:
    """The version as of now: a list of one object, which Kubernetes promises to be consistent."""
    content = await _read(connection, resource, {"limit": "1"})
    try:
        return decoder.page(content)[0].resource_version
    except msgspec.DecodeError as error:
        raise _not_understood(connection, resource, error) from error


async def _read(connection: ClusterConnection, resource: Resource[Any], params: Mapping[str, str]) -> bytes:
    deadlines = aiohttp.ClientTimeout(total=connection.config.timeout_s)
    headers = {"Accept": resource.accept(watch=False)}
    async with connection.request(
        "GET", resource.path(), params=params, headers=headers, deadlines=deadlines
    ) as response:
        if response.status >= 400:
            raise await _refused(connection, resource, response)
        return await response.read()


async def watch_lines(
    connection: ClusterConnection, resource: Resource[Any], version: str, *, silence_s: float
) -> AsyncGenerator[bytes, None]:
    """The events since a version, a line each. The first is empty: the API server has accepted the watch.

    VersionGone if the version is too old, ClusterUnreachable if nothing comes for `silence_s`, not even a bookmark.
    """
    params = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(random.randint(*WATCH_S)),  # noqa: S311 # spreads load, hides nothing
    }
    deadlines = aiohttp.ClientTimeout(total=None, sock_connect=connection.config.timeout_s, sock_read=silence_s)
    headers = {"Accept": resource.accept(watch=True)}
    async with connection.request(
        "GET", resource.path(), params=params, headers=headers, deadlines=deadlines
    ) as response:
        if response.status >= 400:
            raise await _refused(connection, resource, response)
        yield b""
        while line := await response.content.readuntil(b"\n", max_size=LINE_LIMIT):
            yield line


async def _refused(
    connection: ClusterConnection, resource: Resource[Any], response: aiohttp.ClientResponse
) -> Exception:
    body = await response.content.read(ERROR_BODY_LIMIT)
    if response.status == 410:
        return VersionGone("The API server asks for a new list", details=f"{resource} in cluster {connection.name}")
    return from_status(response.status, body, connection.name, f"list of {resource}")


def _not_understood(connection: ClusterConnection, resource: Resource[Any], error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(
        "The API server's list is not understood", details=f"{resource} in cluster {connection.name}: {error}"
    )
