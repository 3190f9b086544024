"""The generated name of a checkpoint image (contract, section 6): readable, and not unique; keys are.

`<registry>/<repo>/<cluster>-<namespace>-<app>:<digest12>-<hash>[-<container>]`
"""

import hashlib
import re

from ksnap.model.checkpoint_key import CheckpointKey
from ksnap.model.image import ImageRef

TAG_LIMIT = 128
REPOSITORY_LIMIT = 200
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+")


def image_name(host: str, prefix: str, key: CheckpointKey, *, first_container: bool) -> ImageRef:
    """Where a workload's checkpoint image goes. `prefix` is the registry's own path and the cluster's repo, joined.

    The pod's first container has the plain tag, as upstream's hook expects; others carry their name.
    """
    name = "-".join(_component(part) for part in (key.cluster, key.namespace, key.app))
    repository = "/".join(part for part in (prefix.strip("/").lower(), _shortened(name, REPOSITORY_LIMIT)) if part)
    tag = f"{key.image_digest.removeprefix('sha256:')[:12]}-{key.template_hash}"
    if not first_container:
        tag = f"{tag}-{key.container}"
    return ImageRef(host, repository, _shortened(tag, TAG_LIMIT))


def _component(text: str) -> str:
    return _NOT_ALLOWED.sub("-", text.lower()).strip("-") or "x"


def _shortened(text: str, limit: int) -> str:
    """Cut with a hash of the whole, so that two long names stay two."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 13].rstrip('-._')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
