"""ksnap: checkpoint and restore for Kubernetes.

Start at `ksnap.server` (the API), `ksnap.agent` (the node's side) or `ksnap.cli`; the services between them are
`ksnap.checkpoints` and `ksnap.identity`. docs/adr says why the rooms are cut as they are.
"""


def __getattr__(name: str) -> str:
    """`__version__`, read when it is asked for: reading metadata takes a third of the command line's start."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - see above

        return version("ksnap")
    raise AttributeError(f"module 'ksnap' has no attribute {name!r}")
