"""Namespaces of a test's or a module's own."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dev.cluster.errors import CommandError
from dev.cluster.kubectl import Kubectl


@contextmanager
def own_namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace, ready for pods, until the block ends."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        _wait_for_service_account(kubectl, name)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def _wait_for_service_account(kubectl: Kubectl, namespace: str) -> None:
    """A controller makes it a moment after the namespace, and no pod is admitted before."""
    deadline = time.monotonic() + 20
    while True:
        try:
            kubectl.get(namespace, "serviceaccount", "default")
        except CommandError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
