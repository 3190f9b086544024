"""`?export=yaml|json` on a route that answers with objects: the same as a file to be kept (contract, section 12)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import Response

from ksnap.dashboard.export import export_many, export_one, format_of
from ksnap.server.file_answer import export_answer


class Exporting:
    """Whether an export is asked for, and how."""

    def __init__(
        self,
        *,
        export: Annotated[str | None, Query(max_length=200, description="`yaml` or `json`: as a file")] = None,
        show_secrets: Annotated[
            str | None, Query(alias="showSecrets", max_length=200, description="`true`: with what Secrets hold")
        ] = None,
    ) -> None:
        self._format = None if export is None else format_of(export)
        self._show_secrets = show_secrets == "true"

    @property
    def wanted(self) -> bool:
        return self._format is not None

    def one(self, found: Mapping[str, Any]) -> Response:
        """One object as a file. Only if it is `wanted`."""
        assert self._format is not None  # noqa: S101 - as said
        return export_answer(export_one(found, self._format, show_secrets=self._show_secrets))

    def many(self, objects: Iterable[Mapping[str, Any]], *, stem: str) -> Response:
        """Several as one file."""
        assert self._format is not None  # noqa: S101 - as said
        return export_answer(export_many(objects, self._format, stem=stem, show_secrets=self._show_secrets))


AsExport = Annotated[Exporting, Depends()]
