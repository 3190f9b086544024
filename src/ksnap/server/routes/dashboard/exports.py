"""`/export?object=pod/shop/web&object=...` (ours): a selection of objects as one file."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ksnap.dashboard.export import format_of
from ksnap.dashboard.export_selection import export_selection, parse_chosen
from ksnap.server.file_answer import export_answer
from ksnap.server.routes.dashboard.context import AsCaller
from ksnap.server.routes.dashboard.route import TextRoute

router = APIRouter(tags=["dashboard"], route_class=TextRoute)


@router.get("/export", summary="Several objects as one file", response_class=Response)
async def export(
    at: AsCaller,
    chosen: Annotated[
        list[str] | None, Query(alias="object", description="`kind/namespace/name` or `kind/name`; several times")
    ] = None,
    form: Annotated[
        str,
        Query(alias="export", max_length=200, description="`yaml`: documents; `json`: a List; `tar`: a file for each"),
    ] = "yaml",
    show_secrets: Annotated[
        str, Query(alias="showSecrets", max_length=200, description="`true`: with what Secrets hold")
    ] = "",
) -> Response:
    objects = parse_chosen(chosen or [])
    return export_answer(
        await export_selection(at, objects, format_of(form, several=True), show_secrets=show_secrets == "true")
    )
