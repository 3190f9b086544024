"""The container that a path names."""

from typing import Annotated

from fastapi import Depends


class ContainerPath:
    """One container of one pod, as the path says; whether they are there, the API server knows."""

    def __init__(self, namespace: str, pod: str, container: str) -> None:
        self.namespace = namespace
        self.pod = pod
        self.container = container


InContainer = Annotated[ContainerPath, Depends()]
