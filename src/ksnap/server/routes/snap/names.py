"""Names in requests, as Kubernetes and we define them: what else comes is a VALIDATION_ERROR that names its field."""

from typing import Annotated

from pydantic import StringConstraints
from starlette.convertors import StringConvertor, register_url_convertor

from ksnap.server.messages import ObjectName

# RFC 1123 labels and subdomains, as Kubernetes uses them. A dot stands between two others: `..` is no name.
_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"

PodName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=253)]
NodeName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=_LABEL)]
ContainerName = Annotated[str, StringConstraints(pattern=_LABEL)]
ClusterName = ObjectName
RegistryName = ObjectName
_ID = "[0-9a-f]{20}"
Id = Annotated[str, StringConstraints(pattern=rf"^{_ID}$")]
ArchiveName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,599}$")]
"""An archive's file name."""
CheckpointName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=600)]
"""What a caller may call a checkpoint: a file name, an id, or the name that its image is to have."""
_PATH_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
ImageName = Annotated[str, StringConstraints(pattern=rf"^{_PATH_PART}(/{_PATH_PART})*$", max_length=200)]
"""A repository below a registry's own path."""
TagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]


class _IdConvertor(StringConvertor):
    """In a path, `{checkpoint_id:id}` stands for an id alone, so that it swallows no other path beside it."""

    regex = _ID


register_url_convertor("id", _IdConvertor())
