"""Options that several verbs share, so that one thing has one name and one text everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Cluster = Annotated[
    str | None,
    typer.Option("--cluster", "-c", metavar="NAME", help="Cluster; else KSNAP_CLUSTER, else the only one there is."),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the pod.")]
Node = Annotated[str | None, typer.Option("--node", metavar="NAME", help="Node to restore on; else any that can.")]
Registry = Annotated[
    str | None, typer.Option("--registry", metavar="NAME", help="Registry to push to; else the cluster's own.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Return as soon as the job has begun, with its id.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Read the password from a file's first line; - is stdin."),
]
CheckpointId = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Id of the checkpoint.", show_default=False)]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
