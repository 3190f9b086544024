"""The committed page is the code's, and no setting lacks its text."""

from pathlib import Path

from ksnap.agent.reference import NAME, agent_settings_page
from ksnap.agent.settings import AgentSettings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / NAME


def test_committed_page_is_the_codes() -> None:
    assert PAGE.read_text() == agent_settings_page(), "run `make docs`"


def test_every_setting_is_explained() -> None:
    assert [name for name, field in AgentSettings.model_fields.items() if not field.description] == []
