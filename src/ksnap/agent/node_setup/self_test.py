"""Whether this node really restores: a tiny container, frozen and restored by the node's own runc and CRIU.

`ksnap-runc ksnap-self-test` does it (runtime/selftest.go), in the node's namespaces. Its outcome is kept beside the
program, where the agent reads it, and decides on the node's label: no pod of the class comes to a node that cannot.
"""

import subprocess
from pathlib import Path, PurePosixPath

import structlog
from pydantic import BaseModel, ValidationError

log = structlog.get_logger()

OUTCOME_FILE = "self-test.json"
_TIMEOUT_S = 150
# containerd's own may be any; both programs are looked for where systemd's services do.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTER = ["nsenter", "--target=1", "--mount", "--uts", "--ipc", "--net", "--"]


class Outcome(BaseModel):
    """What the test found. `reason` is empty if it worked."""

    works: bool
    reason: str = ""


def self_test(binary: PurePosixPath) -> Outcome:
    """Run it. Blocks for about half a second; a node that lacks something is an outcome and no error."""
    argv = [*_ENTER, "env", f"PATH={_PATH}", str(binary), "ksnap-self-test"]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
        outcome = Outcome.model_validate_json(done.stdout)
    except (subprocess.SubprocessError, OSError) as error:
        outcome = Outcome(works=False, reason=f"the self-test could not be run: {error}")
    except ValidationError:
        outcome = Outcome(works=False, reason=f"the self-test ended with {done.returncode}: {done.stderr[-400:]}")
    if outcome.works:
        log.info("node_restores")
    else:
        log.error("node_does_not_restore", reason=outcome.reason)
    return outcome


def read_outcome(folder: Path) -> Outcome | None:
    """What was found last; None if no test was made, as on a node that was set up by hand."""
    try:
        return Outcome.model_validate_json((folder / OUTCOME_FILE).read_text())
    except (OSError, ValueError):
        return None
