"""Logs: what is named like a secret is blotted out, whoever logs it; uvicorn's trace of a failed start is dropped."""

import json
import logging
import subprocess
import sys

import pytest

from ksnap.server.logs import SECRET_NAMES, redact

LOG = """
import logging, structlog
from ksnap.server.logs import configure_logs
configure_logs("info", "{form}")
log = structlog.get_logger("ours")
log.info("thing_done", password="4711", kubeconfig_content="4711", name="n")
log.debug("not_shown")
logging.getLogger("theirs").warning("said %s", "something")
logging.getLogger("uvicorn.error").error("Traceback (most recent call last):\\n  x\\nksnap.errors.InvalidInput: no")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("thing_failed")
"""


def logged(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOG.format(form=form)], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines_carry_events_fields_and_traces_and_no_secret() -> None:
    lines = logged("json")
    events = [json.loads(line) for line in lines]
    assert [each["event"] for each in events] == ["thing_done", "said something", "thing_failed"]
    assert events[0]["name"] == "n"
    assert events[0]["password"] == events[0]["kubeconfig_content"] == "REDACTED"
    assert events[0]["level"] == "info"
    assert "ZeroDivisionError" in events[2]["exception"]
    assert "4711" not in "".join(lines)


def test_the_console_form_is_for_eyes() -> None:
    text = "\n".join(logged("console"))
    assert "thing_done" in text
    assert "4711" not in text


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_field_named_like_a_secret_is_blotted_out(name: str) -> None:
    assert redact(logging.getLogger(), "info", {f"x_{name.upper()}": "4711"}) == {f"x_{name.upper()}": "REDACTED"}
