"""`make docs`: writes the generated reference pages and the chart's recipes again, each from where its facts are."""

from __future__ import annotations

from pathlib import Path

from charts import recipes
from ksnap.agent.reference import NAME as AGENT_SETTINGS
from ksnap.agent.reference import agent_settings_page
from ksnap.cli.reference import reference
from ksnap.server.reference import DOCUMENTS, document

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def main() -> None:
    """All of them; tests hold the committed ones against the same functions."""
    for name in DOCUMENTS:
        (REFERENCE / name).write_text(document(name))
    (REFERENCE / AGENT_SETTINGS).write_text(agent_settings_page())
    (REFERENCE / "cli.md").write_text(reference())
    recipes.write()


if __name__ == "__main__":
    main()
