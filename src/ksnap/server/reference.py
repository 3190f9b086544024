"""The reference pages that are made from the code: settings, errors, the OpenAPI document.

`make docs` writes them to docs/reference, and a test holds the committed ones against these. The texts come from where
things are declared: a setting's docstring, an error's example.
"""

import json
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ksnap.server.app import create_app
from ksnap.server.documented import EXAMPLES
from ksnap.settings import ServerSettings

_GENERATED = "<!-- Made by `make docs` from {source}: change it there. -->"
DOCUMENTS = ("settings.md", "errors.md", "openapi.json")


def document(name: str) -> str:
    """The content of one of DOCUMENTS."""
    makers = {"settings.md": settings_page, "errors.md": errors_page, "openapi.json": openapi_text}
    return makers[name]()


def settings_page() -> str:
    """Every setting of the server: its variable, its default, what it means."""
    lines = [
        "# Settings of the server",
        "",
        _GENERATED.format(source="src/ksnap/settings.py"),
        "",
        "Each is an environment variable of `ksnap serve`; `--host`, `--port` and `--data-dir` are options, too.",
        "Lists are separated by commas. A variable that is empty counts as absent.",
    ]
    for name, field in ServerSettings.model_fields.items():
        text = " ".join((field.description or "").split())
        lines += ["", f"## `KSNAP_{name.upper()}`", "", f"Default: {_default(field)}", "", text]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every code with its status and an example."""
    lines = [
        "# Errors",
        "",
        _GENERATED.format(source="src/ksnap/errors.py and src/ksnap/server/documented.py"),
        "",
        'Every failure is `{"success": false, "error", "details", "code"}`. `error` says what failed, `details` on',
        "what and what to do about it; programs branch on `code`. In every answer `X-Request-Id` names the request for",
        "the server's log.",
        "",
        "| code | status | example |",
        "|---|---|---|",
    ]
    for kind, example in EXAMPLES.items():
        explanation = f" ({example.explanation})" if example.explanation else ""
        lines.append(f"| {kind.code} | {kind.status} | {example.message}{explanation} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


def openapi_text() -> str:
    """The OpenAPI document as /openapi.json serves it, indented for reading and for diffs."""
    schema: dict[str, Any] = create_app(ServerSettings(data_dir=Path("unused"))).openapi()
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "`~/.local/share/ksnap`"
    if field.default is PydanticUndefined or field.default is None:
        return "none"
    if field.annotation is not None and "Secret" in str(field.annotation):
        return "empty"
    return f"`{_plain(field.default)}`" if _plain(field.default) else "empty"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
