"""Logs: a page of lines, where logs come from, and the whole file (contract dashboard-api, sections 11 and 12)."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated

import aiohttp
from fastapi import APIRouter, Depends, Query, Response

from ksnap.dashboard.logs.pages import log_page
from ksnap.dashboard.logs.query import FileQuery, file_query, page_query
from ksnap.dashboard.logs.sources import log_sources
from ksnap.kube.logs import LogOptions, open_log
from ksnap.server.answers import json_answer
from ksnap.server.file_answer import StreamedFile
from ksnap.server.routes.dashboard.container_path import InContainer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import DashboardRoute, TextRoute

# No path stands for two: `source`, `file` and `follow` have one segment more than a namespace has.
files = APIRouter(prefix="/log", tags=["dashboard"], route_class=TextRoute)
router = APIRouter(prefix="/log", tags=["dashboard"], route_class=DashboardRoute)

Text = Annotated[str | None, Query(max_length=200)]


class PageParameters:
    """As text: the contract says what each means, and what is not valid is told in its words."""

    def __init__(
        self,
        *,
        previous: Annotated[Text, Query(description="`true`: of the instance before")] = None,
        reference_timestamp: Annotated[
            Text, Query(alias="referenceTimestamp", description="`newest`, `oldest`, or a line's timestamp")
        ] = None,
        reference_line_num: Annotated[
            Text, Query(alias="referenceLineNum", description="Which of equal timestamps; negative: from the back")
        ] = None,
        offset_from: Annotated[
            Text, Query(alias="offsetFrom", description="From the reference line, inclusive")
        ] = None,
        offset_to: Annotated[Text, Query(alias="offsetTo", description="From the reference line, exclusive")] = None,
        log_file_position: Annotated[
            Text, Query(alias="logFilePosition", description="Of a big log, read the `beginning` or the `end`")
        ] = None,
        tail_lines: Annotated[Text, Query(alias="tailLines", description="The last lines, 1 to 5000")] = None,
        since_time: Annotated[Text, Query(alias="sinceTime", description="RFC 3339: no line before")] = None,
        timestamps: Annotated[Text, Query(description="Every line has its timestamp anyway")] = None,
    ) -> None:
        self.given = _given(
            previous=previous,
            referenceTimestamp=reference_timestamp,
            referenceLineNum=reference_line_num,
            offsetFrom=offset_from,
            offsetTo=offset_to,
            logFilePosition=log_file_position,
            tailLines=tail_lines,
            sinceTime=since_time,
            timestamps=timestamps,
        )


class FileParameters:
    """Of a download."""

    def __init__(
        self,
        *,
        previous: Annotated[Text, Query(description="`true`: of the instance before")] = None,
        timestamps: Annotated[Text, Query(description="`true`: before each line")] = None,
        tail_lines: Annotated[Text, Query(alias="tailLines", description="The last lines alone")] = None,
        since_time: Annotated[Text, Query(alias="sinceTime", description="RFC 3339: no line before")] = None,
    ) -> None:
        self.query: FileQuery = file_query(
            _given(previous=previous, timestamps=timestamps, tailLines=tail_lines, sinceTime=since_time)
        )


def _given(**texts: str | None) -> Mapping[str, str]:
    return {name: text for name, text in texts.items() if text is not None}


@router.get("/source/{namespace}/{resource_name}/{resource_type}", summary="Pods and containers of a workload")
async def source(at: AsCaller, namespace: str, resource_name: str, resource_type: str) -> Response:
    return json_answer(await log_sources(at, namespace, resource_name, resource_type))


async def _opened(
    at: AsCaller, of: InContainer, asked: Annotated[FileParameters, Depends()]
) -> AsyncIterator[aiohttp.StreamReader]:
    """The log, read for as long as it is being sent; what the API server refuses is an answer of its own."""
    query = asked.query
    options = LogOptions(
        of.container,
        previous=query.previous,
        timestamps=query.timestamps,
        tail_lines=query.tail_lines,
        since_time=query.since_time,
    )
    async with open_log(at.api, of.namespace, of.pod, options) as stream:
        yield stream


@files.get(
    "/file/{namespace}/{pod}/{container}",
    summary="The whole log as a file",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def file(of: InContainer, stream: Annotated[aiohttp.StreamReader, Depends(_opened)]) -> Response:
    return StreamedFile(
        stream.iter_any(), name=f"logs-from-{of.container}-in-{of.pod}.log", media_type="text/plain; charset=utf-8"
    )


@router.get("/{namespace}/{pod}", summary="Lines of a pod's first container")
async def of_pod(at: AsCaller, namespace: str, pod: str, asked: Annotated[PageParameters, Depends()]) -> Response:
    return json_answer(await log_page(at, namespace, pod, "", page_query(asked.given)))


@router.get("/{namespace}/{pod}/{container}", summary="Lines of a container, init containers too")
async def of_container(at: AsCaller, of: InContainer, asked: Annotated[PageParameters, Depends()]) -> Response:
    return json_answer(await log_page(at, of.namespace, of.pod, of.container, page_query(asked.given)))
