"""A pod's hooks out of its annotations."""

import json
from typing import Any

import pytest

from ksnap.checkpoints.hooks import COMMAND_LIMIT, Hook, Moment, hooks_of
from ksnap.errors import InvalidInput

BEFORE, AFTER = Moment.BEFORE_FREEZE, Moment.AFTER_RESTORE
SECRET = "hunter2"


def pod(annotations: dict[str, str] | None) -> dict[str, Any]:
    containers = [{"name": "web"}, {"name": "side"}]
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "annotations": annotations},
        "spec": {"containers": containers},
    }


def hooks(moment: Moment, /, **annotations: str) -> list[Hook]:
    """Annotations by name without the domain; `_` stands for `-`, `__` for the dot."""
    given = {
        f"hooks.ksnap.dev/{name.replace('__', '.').replace('_', '-')}": value for name, value in annotations.items()
    }
    return hooks_of(pod(given), moment, ["web", "side"])


def shell(container: str, line: str, *, timeout_s: int = 10, ignores_failure: bool = False) -> Hook:
    return Hook(container, ("/bin/sh", "-c", line), timeout_s, ignores_failure)


@pytest.mark.parametrize("annotations", [None, {}, {"team": "shop", "ksnap.dev/io-uring": "allow"}])
def test_most_pods_have_none(annotations: dict[str, str] | None) -> None:
    assert hooks_of(pod(annotations), BEFORE, ["web"]) == []


def test_a_line_is_the_shells_and_each_containers() -> None:
    assert hooks(BEFORE, before_freeze="sync && echo ok") == [
        shell("web", "sync && echo ok"),
        shell("side", "sync && echo ok"),
    ]


def test_each_moment_has_its_own() -> None:
    assert hooks(AFTER, before_freeze="sync") == []
    assert hooks(BEFORE, after_restore="reseed") == []
    assert hooks(AFTER, after_restore__side="reseed") == [shell("side", "reseed")]


def test_an_array_is_run_as_it_is() -> None:
    (hook,) = hooks(BEFORE, before_freeze__web=json.dumps(["/app/admin", "drop connections", ""]))
    assert hook.argv == ("/app/admin", "drop connections", "")


def test_a_containers_own_annotation_wins_each_for_itself() -> None:
    found = hooks(
        AFTER,
        after_restore="all",
        after_restore__web="own",
        after_restore_timeout="20",
        after_restore_timeout__side="300",
        after_restore_on_failure="ignore",
        after_restore_on_failure__web="fail",
    )
    assert found == [
        shell("web", "own", timeout_s=20),
        shell("side", "all", timeout_s=300, ignores_failure=True),
    ]


def test_only_the_containers_that_are_asked_for_in_their_order() -> None:
    given = pod({"hooks.ksnap.dev/after-restore": "x"})
    assert [each.container for each in hooks_of(given, AFTER, ["side"])] == ["side"]
    assert [each.container for each in hooks_of(given, AFTER, ["side", "web"])] == ["side", "web"]


def test_a_time_without_a_command_is_no_hook() -> None:
    assert hooks(BEFORE, before_freeze_timeout="5") == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("before-freez", "x", "no such annotation"),
        ("", "x", "no such annotation"),
        ("before-freeze-retries", "x", "no such annotation"),
        ("before-freeze.", "x", "no such annotation"),
        ("before-freeze.wev", "x", "no such container"),
        ("after-restore-timeout.wev", "5", "no such container"),
        ("before-freeze", "", "no command"),
        ("before-freeze", " \n", "no command"),
        ("before-freeze", "[]", "not an array of strings"),
        ("before-freeze", '[""]', "not an array of strings"),
        ("before-freeze", f'["a", {{"{SECRET}": 1}}]', "not an array of strings"),
        ("before-freeze", f"[ -f {SECRET} ] && rm x", "write test instead"),
        ("before-freeze", f'["{SECRET}\\u0000"]', "NUL"),
        ("after-restore", SECRET * COMMAND_LIMIT, "longer than"),
        ("after-restore", "[" * COMMAND_LIMIT, "write test instead"),
        *(
            (f"{moment}-timeout", text, "seconds from 1 to 300")
            for moment in Moment
            for text in ("", "0", "301", "1.5")
        ),
        ("before-freeze-timeout", "10s", "seconds from 1 to 300"),
        ("before-freeze-timeout", "-1", "seconds from 1 to 300"),
        ("before-freeze-timeout", "٣", "seconds from 1 to 300"),
        ("before-freeze-timeout", "5\n", "seconds from 1 to 300"),
        ("before-freeze-on-failure", "Ignore", "neither fail nor ignore"),
    ],
)
@pytest.mark.parametrize("moment", Moment)
def test_what_is_wrong_is_refused_whichever_hook_is_asked_for(moment: Moment, name: str, value: str, why: str) -> None:
    with pytest.raises(InvalidInput, match="hook") as raised:
        hooks_of(pod({f"hooks.ksnap.dev/{name}": value}), moment, ["web"])
    assert why in raised.value.details
    assert f"hooks.ksnap.dev/{name} of pod shop/web-0" in raised.value.details
    assert SECRET not in raised.value.explanation


def test_a_command_is_not_shown_by_accident() -> None:
    assert SECRET not in repr(shell("web", SECRET))
