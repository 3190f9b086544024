"""`python -m ksnap.agent.node_setup install|remove|uninstall`: the chart's init container and its last job.

install and remove act on the node below /host; uninstall has every node do the latter. Exit code 1 with one line of
JSON says what is in the way; Kubernetes runs it again.
"""

import platform
import sys

import structlog

from ksnap.agent.containerd_lock import dumps_under_way
from ksnap.agent.main import configure_logs
from ksnap.agent.node_setup import containerd_service
from ksnap.agent.node_setup.api import NONE, RUNTIME, Api, label, pods_starting
from ksnap.agent.node_setup.cpu import cpu_level
from ksnap.agent.node_setup.node import BINARY, PROC, Node
from ksnap.agent.node_setup.quiet import quiet
from ksnap.agent.node_setup.self_test import self_test
from ksnap.agent.node_setup.uninstall import uninstall
from ksnap.agent.settings import AgentSettings
from ksnap.errors import KsnapError

log = structlog.get_logger()

ACTIONS = ("install", "remove", "uninstall")
_UNINSTALL_S = 600.0


def main(argv: list[str]) -> int:
    action = argv[0] if argv else ""
    if action not in ACTIONS:
        print(f"usage: python -m ksnap.agent.node_setup {'|'.join(ACTIONS)}", file=sys.stderr)  # noqa: T201
        return 2
    settings = AgentSettings()
    configure_logs(settings.log_level)
    try:
        changed = _act(action, settings)
    except (KsnapError, OSError) as error:
        details = getattr(error, "details", "")
        log.error("node_setup_failed", action=action, error=str(error), details=details)  # noqa: TRY400
        return 1
    log.info("node_setup_done", action=action, changed=changed)
    return 0


def _act(action: str, settings: AgentSettings) -> bool:
    api = Api(settings)
    if action == "uninstall":
        uninstall(api, settings.pod_namespace, settings.daemonset, deadline_s=_UNINSTALL_S)
        return True
    node = Node(quiet=lambda: quiet(lambda: _at_work(api, settings), settings.state_dir))
    if action == "install":
        changed = node.install()
        outcome = self_test(BINARY)
        node.keep_outcome(outcome)
        cpu = cpu_level(platform.machine(), (PROC / "cpuinfo").read_text())
        label(api, settings.node_name, restore=RUNTIME if outcome.works else NONE, cpu=cpu)
        return changed
    # The label first: no pod of the class is to come any more.
    label(api, settings.node_name, restore=None, cpu=None)
    return node.remove()


def _at_work(api: Api, settings: AgentSettings) -> list[str]:
    """What a restart of containerd would spoil."""
    starting = pods_starting(api, settings.node_name, settings.pod_name)
    frozen = dumps_under_way(settings.containers_dir, since=containerd_service.started_at(PROC))
    return [f"pod {each} is starting" for each in starting] + [f"container {each} is being frozen" for each in frozen]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
