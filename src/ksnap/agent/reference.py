"""The reference page of the agent's settings, made from where they are declared. `make docs` writes it."""

from pydantic.fields import FieldInfo

from ksnap.agent.settings import AgentSettings

NAME = "agent-settings.md"


def agent_settings_page() -> str:
    """Every setting of the agent: its variable, its default, what it means."""
    lines = [
        "# Settings of the agent",
        "",
        "<!-- Made by `make docs` from src/ksnap/agent/settings.py: change it there. -->",
        "",
        "Each is an environment variable of `ksnap agent`. The chart (`charts/ksnap/values.yaml`) sets those that an",
        "installation needs.",
    ]
    for name, field in AgentSettings.model_fields.items():
        text = " ".join((field.description or "").split())
        lines += ["", f"## `{_variable(name, field)}`", "", f"Default: {_default(field)}", "", text]
    return "\n".join(lines) + "\n"


def _variable(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else f"KSNAP_AGENT_{name.upper()}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none, it must be set"
    return "empty" if field.default in (None, "") else f"`{field.default}`"
